"""What is known of each data set before it is loaded. Imports no torch, so that configurations are checked quickly."""

# name: (channels, height, width), number of classes
DATASETS: dict[str, tuple[tuple[int, int, int], int]] = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
}
