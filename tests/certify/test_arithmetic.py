import pytest
import torch

from lipnet.certify.arithmetic import coarse_products


@pytest.mark.parametrize(("precision", "coarse"), [("highest", False), ("high", True), ("medium", True)])
def test_products_of_fewer_digits_are_noticed(precision, coarse):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert coarse_products() is coarse
    finally:
        torch.set_float32_matmul_precision(before)
