#!/bin/sh
# Makes what the lab's registries and its forge serve: one tiny package each. Argument: the directory with
# one directory for each name of a host.
set -eu
umask 022
cd "$1"

npm=registry.npmjs.org
mkdir -p $npm/lab-tiny/- npm/package
echo '{"name":"lab-tiny","version":"1.0.0","main":"index.js"}' > npm/package/package.json
echo 'module.exports = "tiny from npm";' > npm/package/index.js
tar -czf $npm/lab-tiny/-/lab-tiny-1.0.0.tgz -C npm package
sum=$(openssl dgst -sha512 -binary $npm/lab-tiny/-/lab-tiny-1.0.0.tgz | openssl base64 -A)
cat > $npm/lab-tiny/index.html <<END
{"name":"lab-tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"lab-tiny","version":"1.0.0",
"dist":{"tarball":"https://$npm/lab-tiny/-/lab-tiny-1.0.0.tgz","integrity":"sha512-$sum"}}}}
END

wheel=lab_tiny-1.0-py3-none-any.whl
mkdir -p pypi.org/simple/lab-tiny files.pythonhosted.org/packages
/usr/bin/python3 - files.pythonhosted.org/packages/$wheel <<'END'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('lab_tiny.py', 'WORDS = "tiny from PyPI"\n')
    info = 'lab_tiny-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: lab-tiny\nVersion: 1.0\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'RECORD', 'lab_tiny.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n' % (info, info, info))
END
echo "<!DOCTYPE html><html><body><a href=\"https://files.pythonhosted.org/packages/$wheel\">$wheel</a></body></html>" \
  > pypi.org/simple/lab-tiny/index.html

mkdir -p index.crates.io/la/b- static.crates.io/crates/lab-tiny/1.0.0 crate/lab-tiny-1.0.0/src
printf '[package]\nname = "lab-tiny"\nversion = "1.0.0"\nedition = "2021"\n' > crate/lab-tiny-1.0.0/Cargo.toml
echo 'pub const WORDS: &str = "tiny from crates.io";' > crate/lab-tiny-1.0.0/src/lib.rs
tar -czf static.crates.io/crates/lab-tiny/1.0.0/download -C crate lab-tiny-1.0.0
sum=$(sha256sum static.crates.io/crates/lab-tiny/1.0.0/download | cut -d ' ' -f 1)
echo '{"dl":"https://static.crates.io/crates","api":"https://crates.io"}' > index.crates.io/config.json
echo "{\"name\":\"lab-tiny\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"$sum\",\"features\":{},\"yanked\":false}" \
  > index.crates.io/la/b-/lab-tiny

mkdir -p github.com/lab tree
git init --quiet --initial-branch=main tree
echo 'hello from the forge' > tree/README
git -C tree add README
git -C tree -c user.name=Lab -c user.email=lab@example.org commit --quiet -m first
git clone --quiet --bare tree github.com/lab/tiny.git
git -C github.com/lab/tiny.git update-server-info
