"""Ends are proved: what a run outlived, and what only looks as if it had."""

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.ending import ends_badly, ends_well, ends_whole
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.slurm.states import SlurmState


def verdict_of(*texts: str) -> str:
    log = tuple(LogLine("log", number, text) for number, text in enumerate(texts, start=1))
    return str(classify(Evidence(state=SlurmState.COMPLETED, exit_code=0, log=log)).category)


CRASH = ("Traceback (most recent call last):", '  File "t.py", line 9, in <module>', "KeyError: 'x'")
CAUGHT = ("Traceback (most recent call last):", '  File "t.py", line 9, in objective', "KeyError: 'x'")


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("epoch 1 loss 2", *CRASH, "epoch 2 loss 1", "saved checkpoint out/2.pt"), "code_bug"),
        (("epoch 1 loss 2", *CRASH, "epoch 2 loss 1", "training finished"), "success"),
        ((*CAUGHT, "best trial: 3"), "success"),
        ((*CAUGHT, "done"), "code_bug"),
        (("job.sh: line 3: python: command not found", "done"), "environment"),
        (("job.sh: line 3: python: command not found", "all results are in out/", "done"), "environment"),
        (("job.sh: line 3: ml: command not found", "all results are in out/", "done"), "success"),
        (("job.sh: line 3: ml: command not found",), "environment"),
        (("ConnectionError: hub", "falling back to the local copy", "finished"), "success"),
        (("ConnectionError: hub", "finished"), "communication"),
        (("step 1 loss 1", "slurmstepd: error: Detected 1 oom_kill event in StepId=1.0.", "step 2 loss 1"), "oom_host"),
        (("trial 1 failed", "0 trials completed", "finished in 12 s"), "code_bug"),
    ],
)
def test_what_counts_as_outlived(log: tuple[str, ...], category: str) -> None:
    """A program's own word that it came to its end counts; a checkpoint, a flushed buffer and an echo do not."""
    assert verdict_of(*log) == category


@pytest.mark.parametrize(
    "log",
    [
        (*CRASH, "== evaluate ==", "test accuracy 0.10", "wrote results.json"),
        ("trained on 0 samples", "saved model.pt"),
        ("0 of 12 cases succeeded", "summary written to summary.csv"),
        ("all 12 jobs failed", "report.html written"),
        ("simulation aborted at t=3.2: negative pressure in cell 12", "post-processing", "figures saved"),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", "Aborted (core dumped)", "wrote m.json"),
        ("./run.sh: line 3: 1234 Killed                  ./solver", "plotting", "saved plot.png"),
        ("== sample 1/2", "FATAL:   could not open image a.sif", "== sample 2/2", "FATAL:   could not open image a.sif",
         "Finished at Thu 02 Apr 2026 11:00:03 AM CEST"),
        ("rsync: write failed on a: No space left on device (28)", "Finished at 10:00"),
        ("step 1 loss 2.0", "Batch 213: Invalid loss, terminating training", "test acc 0.1", "saved model.keras"),
    ],
)  # fmt: skip
def test_a_script_that_goes_on_proves_nothing(log: tuple[str, ...]) -> None:
    """What a job script writes after its program failed is no word on the program, whatever it writes."""
    assert verdict_of(*log) != "success"


@pytest.mark.parametrize(
    "log",
    [
        ("try 1", *CRASH, "try 1 failed with 1, sleeping 60 s", "try 2 succeeded", "all 12 months present"),
        ("[HumanEval/12] failed: Traceback (most recent call last):", '  File "<string>", line 6, in <module>',
         "IndexError: list index out of range", "100%|###| 164/164 [00:31<00:00]", "Writing results to samples.jsonl"),
        ("sqlite3.OperationalError: database is locked (attempt 1, sleeping 0.5 s)", "all workers done, 32000 rows"),
        ("slurmstepd: error: *** JOB 5 ON n CANCELLED AT 2026-05-01T12:00:00 DUE TO TIME LIMIT ***",
         "restart from dump 3", "t = 3.0", "t = 4.0", "tmax reached, writing final dump"),
        ("3 of 1000 requests failed after 5 retries, results for 997 written",),
        ("grid point 2: solver did not converge, marked as nan by design", "wrote 3 grid points to grid.csv"),
    ],
)  # fmt: skip
def test_a_program_that_says_what_it_did_is_believed(log: tuple[str, ...]) -> None:
    """A message that is answered, or of a part, with an end that has content: a success."""
    assert verdict_of(*log) == "success"


@pytest.mark.parametrize(
    "log",
    [
        ("ERROR core: CUDA out of memory", *CRASH, "test_oom PASSED", "=== 57 passed, 2 xfailed in 3.1s ==="),
        ("MPI_ABORT was invoked on rank 0", "100% tests passed, 0 tests failed out of 12"),
        ("+ kill -9 3012", "run.sh: line 9:  3012 Killed                  nvidia-smi dmon"),
        ("all 12 members written", "distributed.comm.core.CommClosedError: Stream is closed", "bye"),
        ("run.sh: line 9: 31 Killed     ./align", "align failed, again with 8 threads", "align: wrote 12 bam files"),
        ("a.h5 ok", "CORRUPT b0.h5 truncated file: eof = 96", "CORRUPT b1.h5 truncated file: eof = 9",
         "CORRUPT b2.h5 truncated file: eof = 6", "report: 918 ok, 3 bad -> audit.csv"),
        ("Warning messages:", "1: Model failed to converge with max|grad| = 0.004", '> write.csv(ci, "ci.csv")'),
        ("[warn] a.wav: unexpected end of file, skipped", "features: 99812 of 99814 utterances"),
        ("Previous run crashed, its folder is used again", "finished, 12 of 12 subjects in out/"),
        ("shard 7 of 8: 0 files left to convert", "nothing to do"),
        ("ERROR: no more input times; field left as it is", "part 3", "clock is at 12", "log closed", "bye now"),
        ("Error: the fit did not converge, run was extended to 400 steps", "results written to fit.csv"),
        ("WARNING: test failure ignored: 3 tests failed out of 512", "installing", "built 1 of 1"),
        ("-- 2 jobs failed, retry.", "--   job a/1.ovb FAILED.", "--   job a/2.ovb FAILED.", "--   job a/3.ovb FAILED.",
         "Second attempt out of 2.", "assembly written to bat.fa"),
        ("a_64.smt2     TIMEOUT           300.5", "sha/r22.smt2  OUT OF MEMORY     141.6",
         "fifo_9.smt2   true               12.1", "840 tasks, results in out.xml.bz2"),
        ("0 of 1200 tiles done", "600 of 1200 tiles done", "1200 of 1200 tiles done"),
        ("PREPROCESS [100%] 12 of 12, failed: 1 ok", "pipeline completed successfully"),
    ],
)  # fmt: skip
def test_what_is_provoked_listed_or_taken_down_is_no_failure(log: tuple[str, ...]) -> None:
    """Tests provoke errors, audits list them, scripts kill their helpers, and all print them on the way out."""
    assert verdict_of(*log) == "success"


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("collected 9 items", "3 failed, 211 passed", "all stages done"), "code_bug"),
        (("test result: FAILED. 13 passed; 1 failed; 0 ignored", "wrote log.txt"), "code_bug"),
        (("epoch 3/30 loss 1", "timeout: sending signal TERM to command 'python'", "job script done"), "timeout"),
        (("Found 0 images in /data/train", "epoch 1: 0 batches, loss 0.0", "model written to m.pt"), "data"),
        (("Zeile 12: mpirun: Kommando nicht gefunden.", "Ergebnisse kopieren", "Fertig."), "environment"),
        (("job.sh: line 3: lmp_mpi: command not found", "copying results", "all done"), "environment"),
        (("eval: mean reward -200.0", "did not exceed random policy, model saved anyway"), "not_converged"),
        (("case 1 ok", "case 2 FAILED: FileNotFoundError: 2.xyz", "case 3 FAILED: FileNotFoundError: 3.xyz",
          "2 of 3 cases failed"), "data"),
        (("FATAL:   could not open image a.sif: no such file or directory", "all stages done"), "container"),
        (("wrote a.csv", "run.sh: line 3:  44 Killed                  ./solver", "upload complete: 12 files"),
         "unknown"),
        (("ConnectionError: Max retries exceeded with url: /x", "finished in 12 s"), "communication"),
        (("fitting 412 genes", "Error: object 'res' not found", "Execution halted", "script over"), "code_bug"),
        (("solver started", "solver ended with exit code 3"), "unknown"),
        (("[W] write failed: No space left on device", "-rw-r--r-- 1 a g 0 Sep 24 11:02 merged.chr4.vcf.gz",
          "-rw-r--r-- 1 a g 0 Sep 24 11:02 merged.chr5.vcf.gz", "ALL CHROMOSOMES MERGED"), "storage"),
        (("outputs expected 50, found 2", "over after 3 min"), "unknown"),
        (("maximum number of iterations reached", "result written to a.out"), "not_converged"),
        (("policy has not learned anything", "saved policy.zip"), "not_converged"),
        (("STOP file found, ending at step 6210 of 87600", "partial output removed"), "cancelled"),
    ],
)  # fmt: skip
def test_an_exit_code_of_0_hides_no_failure(log: tuple[str, ...], category: str) -> None:
    """Failed tests, a program that was never found or given nothing, a time-out: what the script says is no proof."""
    assert verdict_of(*log) == category


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("epoch 3/3 loss 0.1", "Training complete."), "success"),
        (("fitting 4 models", "best: B (1.1), stored as best.pkl"), "success"),
        (("epoch 3/10 loss 0.1", "saved model to model.pt"), "unknown"),
        (("epoch 3 loss 0.1", "wrote checkpoint ckpt_3.pt"), "unknown"),
        (("epoch 3 loss 0.1", "Model weights saved in out/checkpoint-100/pytorch_model.bin"), "unknown"),
        (("epoch 3/10 loss 0.1", "early stopping", "training finished after 3 epochs"), "success"),
        (("fold 1 acc 0.9", "results written to results_fold1.csv"), "unknown"),
        (("fitting 4 models", "done"), "unknown"),
        (("wrote part1.csv", "ValueError: no samples left"), "data"),
    ],
)
def test_a_log_alone_proves_an_end_only_by_saying_so(log: tuple[str, ...], category: str) -> None:
    """Without state and exit code what was written last may be the last that was, and not the end."""
    lines = tuple(LogLine("log", number, text) for number, text in enumerate(log, start=1))
    assert classify(Evidence(log=lines)).category == category


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("all 12 months present, checksums match", (True, True, False)),
        ("20000/20000 answered, 0 given up, 31 retries", (True, True, False)),
        ("wrote out.csv (4 rows)", (True, False, False)),
        ("Finished at Thu 02 Apr 2026 11:00:03 AM CEST", (False, False, False)),
        ("done", (False, False, False)),
        ("17 of 18 steps done", (False, False, False)),
        ("Workflow ended with errors, see .nextflow.log", (False, False, True)),
        ("no fold succeeded, nothing saved", (False, False, True)),
        ("12 of 12 jobs failed", (False, False, True)),
        ("not saved: disk full", (False, False, False)),
        ("Fertig.", (False, False, False)),
        ("+ echo saved results to out.csv", (False, False, False)),
        ("1203881 of 1203884 written (3 unreadable)", (True, True, False)),
        ("mean dice 0.871", (True, False, False)),
        ("3 failed, 211 passed in 44.02s", (False, False, True)),
        ("samples seen: 0", (False, False, True)),
    ],
)
def test_what_is_said_of_an_end(line: str, told: tuple[bool, bool, bool]) -> None:
    """With content, of the whole, or that it did not do what it was to do; a date or an echo is none of them."""
    assert (ends_well(line), ends_whole(line), ends_badly(line)) == told


def losses(*values: float) -> tuple[str, ...]:
    return tuple(f"epoch {i} loss {value}" for i, value in enumerate(values, start=1))


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (losses(2.3, 80.1, 5120.4, 79102.5, 82011.3), "divergence"),
        (losses(2.3, 2.1, 2.0, 1.9, 1.8), "success"),
        (losses(2.3, 900.0, 2.2, 2.1, 2.0), "success"),
        ((*losses(2.1, 1.9), "test accuracy: nan"), "divergence"),
        ((*losses(2.1, 1.9), "test accuracy: nan", "test accuracy: 0.5"), "success"),
        ((*losses(2.1, 1.9), "test accuracy 0.5, test f1 nan"), "success"),
        (tuple(f"epoch {i} loss 2.30{i % 3} acc 0.10{i % 2}" for i in range(1, 9)), "not_converged"),
        (("num_classes: 4", *losses(1.386, 1.387, 1.386, 1.385, 1.386)), "not_converged"),
    ],
)
def test_printed_curves_are_judged_as_recorded_ones(log: tuple[str, ...], category: str) -> None:
    """Explosion, chance and a result that is nan, from whatever form the numbers were printed in."""
    assert verdict_of(*log) == category


def test_printed_numbers_never_spoil_a_result_that_was_delivered() -> None:
    """Metrics that are whole and end finite are the result; what the log prints beside them is a remark."""
    log = tuple(LogLine("log", i, text) for i, text in enumerate(losses(2.3, 80.0, 5e3, 8e4, 8.2e4)))
    evidence = Evidence(
        exit_code=0, program_outcome=0, complete=True, expects_metrics=True, delivered=True, log=log,
        series={"score": (0.1, 0.2)},
    )  # fmt: skip
    assert classify(evidence).category == "success"
