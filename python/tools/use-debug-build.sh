#!/usr/bin/env bash
# Makes `import plumline` in .venv use the extension module that `cargo build` left in target/debug. `maturin develop`
# would compile the crates again with the features of this one package.
set -euo pipefail
cd "$(dirname "$0")/../.."

cp target/debug/lib_plumline.so python/plumline/.new && mv python/plumline/.new python/plumline/_plumline.abi3.so
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/python" >"$site/plumline.pth"
