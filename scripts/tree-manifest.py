#!/usr/bin/env python3
"""One line per entry of a directory tree, in a fixed order, with all that must not change; two equal trees give equal output.

    scripts/tree-manifest.py [--nlink] DIR

path, type and mode, owner, mtime in ns, then size and sha256 (files), target (symbolic links) or device number, then the xattrs.
Sizes and link counts of directories belong to the file system, not to the tree: they are left out. --nlink adds files' link counts.
"""
import hashlib
import os
import stat
import sys


def printable(name: bytes) -> str:
    """Names are bytes: what is not plain ASCII is shown as \\xNN, so that a line stays a line."""
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in name)


def content(path: bytes, st: os.stat_result) -> str:
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f" size={st.st_size} sha256={digest}"
    if stat.S_ISLNK(st.st_mode):
        return " -> " + printable(os.readlink(path))
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        return f" device={os.major(st.st_rdev)},{os.minor(st.st_rdev)}"
    return ""


def xattrs(path: bytes) -> str:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return "".join(f" {name}={os.getxattr(path, name, follow_symlinks=False).hex()}" for name in names)


def line(path: bytes, shown: bytes, st: os.stat_result, nlink: bool) -> str:
    links = f" nlink={st.st_nlink}" if nlink and not stat.S_ISDIR(st.st_mode) else ""
    what = f"{stat.filemode(st.st_mode)} {stat.S_IMODE(st.st_mode):04o} {st.st_uid}:{st.st_gid} mtime={st.st_mtime_ns}"
    return f"{printable(shown)} {what}{links}{content(path, st)}{xattrs(path)}\n"


def walk(root: bytes, nlink: bool, out) -> None:
    todo = [(root, b".")]
    while todo:
        path, shown = todo.pop()
        st = os.lstat(path)
        out.write(line(path, shown, st, nlink))
        if stat.S_ISDIR(st.st_mode):
            names = sorted(os.listdir(path), reverse=True)
            todo.extend((os.path.join(path, name), os.path.join(shown, name)) for name in names)


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--nlink"]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit(__doc__)
    walk(os.fsencode(arguments[0]), "--nlink" in sys.argv, sys.stdout)


main()
