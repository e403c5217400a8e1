# What a script of this folder was given, and whether it can begin: sourced with the number of arguments that it takes, and these
wanted=$1; shift
[ $# -eq "$wanted" ] || { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

# A folder by its whole path: what follows works in another one
folder() { [ -d "$1" ] && cd "$1" && pwd || { echo "$1 is no folder. Called without arguments, $0 says what it takes." >&2; exit 2; }; }

python - <<'end' || exit 2
import sys
from importlib.util import find_spec
extras = dict(train='tensorflow', synth='pedalboard', eval='museval')
lacks = [k for k,o in extras.items() if not find_spec('songsep') or not find_spec(o)]
if lacks: sys.exit(f'This needs more of songsep: pip install ".[{",".join(lacks)}]".')
end
