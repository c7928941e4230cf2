import pytest
import torch

from lipnet.data.augment import crop_and_flip


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def crops(image, padding):
    """Every crop of the zero-padded image, by (top, left, flipped), pixel by pixel."""
    height, width = image.shape[1:]
    found = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = torch.zeros_like(image)
            for row in range(height):
                for column in range(width):
                    source = (row + top - padding, column + left - padding)
                    if 0 <= source[0] < height and 0 <= source[1] < width:
                        crop[:, row, column] = image[:, source[0], source[1]]
            found[top, left, False] = crop
            found[top, left, True] = crop.flip(-1)
    return found


def draws(images, augmented, padding):
    """Which crop each augmented image is; fails where it is none."""
    found = []
    for image, result in zip(images, augmented, strict=True):
        matches = [draw for draw, crop in crops(image, padding).items() if torch.equal(crop, result)]
        assert len(matches) == 1
        found.append(matches[0])
    return found


@pytest.mark.parametrize(
    ("shape", "padding"), [((3, 6, 6), 4), ((1, 5, 5), 2), ((2, 4, 7), 1), ((3, 5, 5), 0)], ids=str
)
def test_each_image_is_a_crop_of_its_padded_original(shape, padding):
    images = torch.rand(10, *shape)
    before = images.clone()
    augmented = crop_and_flip(images, seeded(0), padding)
    assert augmented.shape == images.shape
    assert augmented.dtype == images.dtype
    draws(images, augmented, padding)
    assert torch.equal(images, before)


def test_every_offset_comes_up_and_half_are_flipped():
    images = torch.rand(1, 1, 3, 3).expand(600, -1, -1, -1)
    found = []
    table = {crop.numpy().tobytes(): draw for draw, crop in crops(images[0], 1).items()}
    for result in crop_and_flip(images, seeded(0), 1):
        found.append(table[result.contiguous().numpy().tobytes()])
    assert {draw[:2] for draw in found} == {(top, left) for top in range(3) for left in range(3)}
    assert 240 < sum(flipped for *_, flipped in found) < 360  # five standard deviations around 300


def test_nothing_is_flipped_where_that_is_not_asked():
    images = torch.rand(50, 1, 3, 3)
    assert not any(flipped for *_, flipped in draws(images, crop_and_flip(images, seeded(0), 1, flips=False), 1))


def test_usual_padding_is_four_pixels():
    images = torch.rand(200, 1, 3, 3)
    assert torch.equal(crop_and_flip(images, seeded(0)), crop_and_flip(images, seeded(0), 4))


def test_generator_alone_decides():
    images = torch.rand(20, 3, 8, 8)
    first = crop_and_flip(images, seeded(3))
    torch.manual_seed(99)
    assert torch.equal(crop_and_flip(images, seeded(3)), first)
    assert not torch.equal(crop_and_flip(images, seeded(4)), first)
