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
if [ ! -e "$prefix/releases/$release" ]; then
  # Under its own name only when it is whole.
  rm -rf "$prefix/releases/.$release.part"
  cp -R "$from" "$prefix/releases/.$release.part"
  mv "$prefix/releases/.$release.part" "$prefix/releases/$release"
fi
# Never without a current release: rename replaces the link at once.
ln -sfn "releases/$release" "$prefix/.current.new"
mv -T "$prefix/.current.new" "$prefix/current"
echo "$release is the current release in $prefix"
