"""The settings of the program, for the deployment checks."""

import re
import subprocess

# Variables that the SDK reads and that have no option.
WITHOUT_OPTION = {"AWS_REGION"}


def settings(program, command):
    """The environment variables that the command reads."""
    text = subprocess.run([program, command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\[env: ([A-Z0-9_]+)[=\]]", text)) | WITHOUT_OPTION


def check_variables(program, command, variables, place):
    unknown = set(variables) - settings(program, command)
    assert not unknown, f"{place} sets {sorted(unknown)}, which `cruddur {command}` does not read"
