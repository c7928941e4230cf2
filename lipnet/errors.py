"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in the configuration, the data or the machine; its message says what to change.

    Args:
        problems: one full sentence each. They are reported together.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, start=1))
        return f"{len(self.problems)} problems in this configuration:\n{lines}"


class CertificateViolation(RuntimeError):
    """An attack succeeded where a certificate says that none can: an error in lipnet, never in the user's run."""


def reason_of(error: BaseException, most: int = 200) -> str:
    """What an error says, on one line of at most so many characters; its type where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__
