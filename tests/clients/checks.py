"""Runs named checks and tells how many passed."""

import sys
import traceback


class Checks:
    """A list of functions that raise when something is wrong."""

    def __init__(self):
        self._checks = []

    def add(self, check):
        """Decorator: this function is a check."""
        self._checks.append(check)
        return check

    def run(self, *arguments):
        """Runs all; prints what failed and `N checks passed`; ends with exit code 1 if any failed."""
        passed = 0
        for check in self._checks:
            try:
                check(*arguments)
                passed += 1
            except Exception:
                print(f"FAILED {check.__name__}", file=sys.stderr)
                traceback.print_exc()
        print(f"{passed} checks passed")
        sys.exit(0 if passed == len(self._checks) else 1)


def equal(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"
