#!/usr/bin/env python3
"""put_together.py MANIFEST RESULT: put an off-site snapshot together without quorum.etcd; see offsite-format.md."""
import gzip, hashlib, json, lzma, os, shutil, struct, subprocess, sys

wanted, result = sys.argv[1:]
folder, chain = os.path.dirname(wanted), []
def opened(name):
    if name.endswith(".zst"):
        return subprocess.Popen(["zstd", "-dc", os.path.join(folder, name)], stdout=subprocess.PIPE).stdout
    return {".gz": gzip.open, ".xz": lzma.open}[name[-3:]](os.path.join(folder, name), "rb")
while not chain or chain[0]["offsite"]["kind"] != "full":
    with open(os.path.join(folder, chain[0]["offsite"]["base_name"] + ".json") if chain else wanted) as file:
        chain.insert(0, json.load(file))
open(result, "xb").close()
for manifest in chain:
    source, digest = opened(manifest["offsite"]["object"]), hashlib.sha256()
    with open(result, "r+b") as target:
        if manifest["offsite"]["kind"] == "full":
            shutil.copyfileobj(source, target)
        elif json.loads(source.readline())["format"] == 1:
            for record in iter(lambda: source.read(12), b""):
                offset, length = struct.unpack(">QI", record)
                target.seek(offset)
                target.write(source.read(length))
            target.truncate(manifest["size"])
        target.seek(0)
        for chunk in iter(lambda: target.read(1 << 20), b""):
            digest.update(chunk)
    if digest.hexdigest() != manifest["sha256"]: sys.exit("damaged: " + manifest["offsite"]["object"])
