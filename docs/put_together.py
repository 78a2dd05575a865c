"""put_together.py MANIFEST RESULT: put an off-site snapshot together without quorum.etcd; see offsite-format.md."""
import gzip
import hashlib
import json
import lzma
import mmap
import os
import shutil
import subprocess
import sys

wanted, result, chain = *sys.argv[1:], []
while not chain or chain[0]["offsite"]["kind"] != "full":
    with open(os.path.join(os.path.dirname(wanted), chain[0]["offsite"]["base_name"] + ".json") if chain else wanted) as file:
        chain.insert(0, json.load(file))
    if chain[0] in chain[1:]:
        sys.exit("no full snapshot to begin with: " + wanted)
for manifest in chain:
    print(path := os.path.join(os.path.dirname(wanted), manifest["offsite"]["object"]), flush=True)
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path[-3:])
    source = opener(path, "rb") if opener else subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE).stdout
    with open(result, "r+b" if manifest["offsite"]["kind"] == "pages" else "x+b", buffering=0) as target:
        if manifest["offsite"]["kind"] == "full":
            shutil.copyfileobj(source, target)
        elif json.loads(source.readline())["format"] == 1:
            while record := source.read(12):
                os.pwrite(target.fileno(), source.read(int.from_bytes(record[8:], "big")), int.from_bytes(record[:8], "big"))
            target.truncate(manifest["size"])
        if hashlib.sha256(mmap.mmap(target.fileno(), 0, access=mmap.ACCESS_READ)).hexdigest() != manifest["sha256"]:
            sys.exit("damaged: " + path)
