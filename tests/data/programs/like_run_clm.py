"""Looks like transformers' run_clm.py: dataclasses read by HfArgumentParser, numbers printed by Trainer."""

from dataclasses import dataclass, field

from transformers import HfArgumentParser, Trainer, TrainingArguments


@dataclass
class ModelArguments:
    model_name_or_path: str | None = field(default=None, metadata={"help": "The checkpoint"})
    use_fast_tokenizer: bool = field(default=True)


@dataclass
class DataTrainingArguments:
    dataset_name: str = field(metadata={"help": "The dataset"})
    block_size: int | None = field(default=None)


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    trainer = Trainer(model=model_args, args=training_args, train_dataset=data_args)
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)


if __name__ == "__main__":
    main()
