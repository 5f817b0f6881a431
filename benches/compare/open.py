"""How soon a saved database answers: the time to open a folder of about 2 GB, and what a query of one column reads of it.

    python3 benches/compare/open.py FILE [--rows 8000000] [--columns ClientIP,WindowName] [--runs 5]

FILE is a Parquet file, such as `make_hits` writes; its first rows are loaded and saved once into target/compare/. Every
figure comes from a process of its own; "cold" ones follow after the page cache let go of the folder's files. Bytes are told
by three witnesses: the ledger, the pages of the files that the process had mapped in (neighbours in the page cache come
along, up to 64 KiB), and what the kernel fetched from the disk when cold (read ahead included).
Needs a release build of `open_saved` (`cargo build --release -p stoadb-benches`).
"""

import argparse
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = str(ROOT / "target/release/open_saved")


def forget(folder: pathlib.Path) -> None:
    """Takes the folder's files out of the page cache."""
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def once(folder: pathlib.Path, column: str) -> dict:
    output = subprocess.run([TOOL, "once", str(folder), column], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--columns", default="ClientIP,WindowName")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    folder = ROOT / "target" / "compare" / f"saved-{args.rows}"
    if not (folder / "manifest").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([TOOL, "make", args.file, str(folder), str(args.rows)], check=True)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    print(f"{sum(sizes.values()) / 1e9:.2f} GB in {len(sizes)} files, manifest {sizes['manifest'] / 1e6:.1f} MB\n")
    print("| column | cache | open, ms | query, ms | again, ms | stored, bytes | ledger | mapped | from disk |")
    print("|---|---|---|---|---|---|---|---|---|")
    for column in args.columns.split(","):
        for cache in ["cold", "warm"]:
            found = []
            for _ in range(args.runs):
                if cache == "cold":
                    forget(folder)
                found.append(once(folder, column))
            least = {name: min(run[name] for run in found) for name in found[0]}
            print(
                f"| {column} | {cache} | {least['open_ms']:.1f} | {least['query_ms']:.1f} | {least['again_ms']:.1f} "
                f"| {least['stored']} | {least['ledger']} | {least['mapped']} | {least['disk']} |"
            )


if __name__ == "__main__":
    main()
