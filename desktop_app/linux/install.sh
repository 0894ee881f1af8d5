#!/bin/sh
# Puts the app into this user's menu: a desktop entry that starts the given environment's gpt4roi, and its icon.
#
#     desktop_app/linux/install.sh [PATH_OF_GPT4ROI]     (default: .venv/bin/gpt4roi of this checkout)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-$here/../../.venv/bin/gpt4roi}
[ -x "$program" ] || { echo "$program is not a program; run make app-setup, or name gpt4roi's path" >&2; exit 1; }
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
case $program in
*[!A-Za-z0-9/._-]*) echo "a desktop entry cannot hold the path $program; install gpt4roi elsewhere" >&2; exit 1 ;;
esac
data=${XDG_DATA_HOME:-$HOME/.local/share}
mkdir -p "$data/applications" "$data/icons/hicolor/scalable/apps"
cp "$here/gpt4roi.svg" "$data/icons/hicolor/scalable/apps/gpt4roi.svg"
sed "s|^Exec=gpt4roi |Exec=$program |" "$here/gpt4roi.desktop" > "$data/applications/gpt4roi.desktop"
if command -v update-desktop-database >/dev/null; then update-desktop-database -q "$data/applications"; fi
echo "$data/applications/gpt4roi.desktop"
