from lipnet.errors import UserError


def test_one_problem_is_a_sentence_and_several_are_numbered():
    assert str(UserError("epochs=0: must be >= 1.")) == "epochs=0: must be >= 1."
    several = UserError("first.", "second.")
    assert str(several) == "2 problems in this configuration:\n  1. first.\n  2. second."
    assert several.problems == ("first.", "second.")
