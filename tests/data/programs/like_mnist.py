"""Looks like pytorch/examples' mnist: argparse, epochs, a test set's loss in one line."""

import argparse


def train(args, epoch):
    for batch_idx in range(0, 30, 10):
        print('Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}'.format(  # noqa: UP032
            epoch, batch_idx, 30, 100.0 * batch_idx / 30, args.lr / (epoch + batch_idx / 30)))  # fmt: skip


def test(args, epoch):
    test_loss = abs(args.lr - 0.7) + args.seed / 1000 + 1 / epoch
    print("\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)\n".format(test_loss, 97, 100, 97.0))  # noqa: UP032


def main():
    parser = argparse.ArgumentParser(description="PyTorch MNIST Example")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--epochs", type=int, default=2, metavar="N", help="number of epochs to train")
    parser.add_argument("--lr", type=float, default=1.0, metavar="LR", help="learning rate (default: 1.0)")
    parser.add_argument("--no-cuda", action="store_true", default=False, help="disables CUDA training")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="random seed (default: 1)")
    parser.add_argument("--save-model", action="store_true", default=False)
    args = parser.parse_args()
    for epoch in range(1, args.epochs + 1):
        train(args, epoch)
        test(args, epoch)


if __name__ == "__main__":
    main()
