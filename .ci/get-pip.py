# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test runs to get pip into an empty environment: pip itself, out of the wheel that lies beside this file."""

import os
import sys

PACKAGES = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
HERE = os.path.dirname(os.path.abspath(__file__))
WHEELS = [os.path.join(HERE, package.replace("==", "-") + "-py3-none-any.whl") for package in PACKAGES]

sys.path[:0] = WHEELS
from pip._internal.cli.main import main  # noqa: E402

sys.exit(main(["install", "--disable-pip-version-check", "--no-index", "--no-deps", *WHEELS]))
