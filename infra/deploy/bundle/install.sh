#!/bin/sh
# Installs this release beside those before it and makes it the current one: sh install.sh [prefix]
# Needs Node, no npm and no network. To roll back, point <prefix>/current at the release before and restart the units.
set -eu
from=$(cd "$(dirname "$0")" && pwd)
prefix=${1:-/opt/mindspeed-pretrain}
release=$(basename "$from")

version=$(node -p 'process.versions.node' 2>/dev/null) || { echo "install.sh: there is no node on PATH" >&2; exit 1; }
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  { echo "install.sh: Node $version is too old: 20.19 or newer is needed" >&2; exit 1; }
machine=$(node -p 'process.platform + "-" + process.arch')
case $release in *-"$machine") ;; *) echo "install.sh: $release is not for this machine, $machine" >&2; exit 1 ;; esac
wanted=$(cat "$from/glibc")
have=$(node -p 'process.report.getReport().header.glibcVersionRuntime || "none"')
node -e 'const [have, wanted] = process.argv.slice(1).map((version) => Number(version.split(".")[1])); process.exit(have >= wanted ? 0 : 1)' "$have" "$wanted" ||
  { echo "install.sh: $release needs glibc $wanted, this machine has $have: a container with a newer one will do" >&2; exit 1; }

mkdir -p "$prefix/releases"
# Bundles of one version need not be the same: another one is installed beside it, and none that is there is changed.
name=$release
number=1
while [ -e "$prefix/releases/$name" ] && ! diff -rq -x __pycache__ "$from" "$prefix/releases/$name" >/dev/null; do
  number=$((number + 1))
  name=$release.$number
done
if [ ! -e "$prefix/releases/$name" ]; then
  # Under its own name only when it is whole.
  rm -rf "$prefix/releases/.$name.part"
  cp -R "$from" "$prefix/releases/.$name.part"
  mv "$prefix/releases/.$name.part" "$prefix/releases/$name"
fi
# Never without a current release: rename replaces the link at once.
ln -sfn "releases/$name" "$prefix/.current.new"
mv -T "$prefix/.current.new" "$prefix/current"
echo "$name is the current release in $prefix"
