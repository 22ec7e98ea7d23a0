"""What hadolint and ShellCheck advise, in a student's words. A rule that has no sentence here is not shown.

Left out on purpose: what the lab writes itself and what no field can change (the base's tag, WORKDIR, SHELL, the cache
of pip, which the bases switch off).
"""

from __future__ import annotations

import re

_BASHISM = "Commands here run in sh, which does not know this. Use a script that begins with #!/bin/bash."
_UNREADABLE = (
    "The shell does not understand this command. Look for a quotation mark, bracket or word that is missing."
)
_PIN = "Name the version of {what}, such as {such}. Otherwise the same form gives another image next month."

WORDS: dict[str, str] = {
    "DL3004": "sudo is not needed: these commands run as root already.",
    "DL3005": "Do not upgrade the whole system here. It makes the image large, and other than the one you tested.",
    "DL3008": "apt-get installs what Debian has on that day. Tick the package under Libraries, where it is tested.",
    "DL3009": "End the command with && rm -rf /var/lib/apt/lists/* and the image stays smaller.",
    "DL3013": _PIN.format(what="each Python library", such="numpy==2.1.0"),
    "DL3014": "Write apt-get install -y: nobody is there to answer its question.",
    "DL3015": "Write apt-get install --no-install-recommends, and it installs only what you asked for.",
    "DL3016": _PIN.format(what="each npm package", such="mqtt@5.0.0"),
    "DL3027": "Write apt-get instead of apt: apt is made for people at a terminal.",
    "DL3028": _PIN.format(what="each gem", such="rake:13.2.1"),
    "DL3038": "The bases of this lab are Debian: use apt-get.",
    "DL3030": "The bases of this lab are Debian: use apt-get.",
    "DL3046": "Write useradd -l: a high user number otherwise makes the image very large.",
    "DL3047": "Write wget -nv: its progress bar fills the log.",
    "DL3048": "Begin a label's name with a small letter; use only small letters, digits, dots and hyphens.",
    "DL3059": "Join RUN lines that belong together with &&: each line becomes a layer of its own.",
    "DL3060": "End the command with && yarn cache clean and the image stays smaller.",
    "DL4001": "Use either wget or curl, not both: one is enough to install.",
    "DL4006": "If the part before | fails, the build goes on. Write into a file, then use it in a second command.",
    "SC1009": _UNREADABLE,
    "SC1010": "A word such as done or fi needs a ; or a new command before it.",
    "SC1035": "A space is missing here.",
    "SC1036": "A bracket stands where the shell does not expect it. Put the text into quotation marks.",
    "SC1072": _UNREADABLE,
    "SC1073": _UNREADABLE,
    "SC1078": "A quotation mark is opened and not closed.",
    "SC1079": "A quotation mark is opened and not closed.",
    "SC1089": _UNREADABLE,
    "SC2006": "Write $(command) instead of `command`: it is easier to read and can be nested.",
    "SC2010": "Do not search in what ls prints. Use a pattern such as *.csv.",
    "SC2012": "Do not read what ls prints. Use find, which copes with every name.",
    "SC2015": "A && B || C runs C also when B fails. Write if A; then B; else C; fi.",
    "SC2016": "Nothing is filled in between single quotation marks. Use double ones if $... is meant to be.",
    "SC2026": "A quotation mark stands in the middle of a word. Check where the text ends.",
    "SC2028": "echo may not know \\n. Use printf instead.",
    "SC2034": "This variable is set and never used.",
    "SC2035": "Write ./* instead of *: a file name that begins with - would be taken for an option.",
    "SC2038": "Write find ... -exec ... + instead of a pipe to xargs: it copes with spaces in names.",
    "SC2039": _BASHISM,
    "SC2043": "This loop runs only once.",
    "SC2045": "Do not loop over what ls prints. Write for f in *; do ...",
    "SC2046": "Put $(...) into double quotation marks, or a space in its result makes two words of it.",
    "SC2048": 'Write "$@" instead of $*, with the quotation marks.',
    "SC2059": "Write printf '%s' \"$text\": a % in the text would be taken for an instruction.",
    "SC2061": "Put the pattern into quotation marks, so that find sees it and not the shell.",
    "SC2062": "Put the pattern into quotation marks, so that grep sees it and not the shell.",
    "SC2063": "grep knows other patterns than file names: .* instead of *.",
    "SC2086": 'Put the variable into double quotation marks, as "$name": a space in it makes two words.',
    "SC2088": "~ means nothing between quotation marks. Write $HOME.",
    "SC2103": "Write (cd folder && ...) so that the next command is back where it was.",
    "SC2115": "If the variable is empty, this removes far too much. Write \"${name:?}\"/...",
    "SC2124": "A list is put into one text here. Is that meant?",
    "SC2129": "Write { first; second; } >> file instead of opening the file several times.",
    "SC2140": "Quotation marks meet in the middle of a word. Check where the text ends.",
    "SC2154": "This variable is used and set nowhere.",
    "SC2155": "Set the variable first and export it after that, or its failure is not noticed.",
    "SC2162": "Write read -r, or it swallows backslashes.",
    "SC2164": "Write cd folder || exit 1: if the folder is missing, the rest runs in the wrong place.",
    "SC2174": "mkdir -p -m sets the rights of the last folder only.",
    "SC2181": "Test the command itself, as in if command; then ..., instead of $?.",
    "SC2230": "Write command -v instead of which.",
    "SC2236": "Write -n instead of ! -z.",
    "SC2261": "The output is sent to two places, and only the last one gets it.",
}  # fmt: skip


def words(code: str) -> str:
    """The sentence for a rule; empty when it is not shown."""
    if re.fullmatch(r"SC3\d{3}", code):  # what sh does not have and bash does
        return _BASHISM
    return WORDS.get(code, "")
