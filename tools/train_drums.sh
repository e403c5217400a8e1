#!/usr/bin/env bash
# Makes the drums model that ships, from MIDI files and recorded sounds to its card:
#   tools/train_drums.sh DATA VALIDATION WORK
# DATA and WORK as for tools/render.sh, which runs first; VALIDATION: songs with drums, which only judge.
# It goes on from `band`, which ships: its network has heard 13,000 batches of songs already.
# Stopped and started again, it goes on where it was. One core takes two hours to render, prepare and train.
set -euo pipefail
data=$1 validation=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
"$here/render.sh" "$data" "$work"
cd "$work"

# Tracks of several folders go into one store by their names
rename() { for o in "$1"/Track*; do [ ! -e "$o" ] || mv "$o" "$1/$2${o#"$1"/Track}"; done; }
rename drummers Drummer
rename machines Machine
prepare() { songsep prepare "$@" -o drums.h5 --recipe drums --max-hz 11025 --keep-phase; }
songs=("$data"/cc0_stems/{hydrogen,potassium,rubidium,sodium})
[ -e speeds ] || { python "$here/speeds.py" speeds.new "${songs[@]}" && mv speeds.new speeds; }
prepare "${songs[@]}" parts
prepare speeds
prepare drummers --most 6
prepare machines --most 4
prepare rendered --most 10

# Nine of ten examples are remixed. What comes of it knows bands better and machines worse than before:
# a third of the way, by weights, scored best on the nine songs
python - <<'end'
from songsep.models import find_model
from songsep.training import average_models, train
more = dict(remixed=.9, ema=.995, clipnorm=1., keep='last', patience=99, validation=.01)
train('drums.h5', 'models/first', 'tfc_tdf_unet', dict(output='mask'), start=find_model('band'), epochs=1, n_batches=200,
      batch_size=8, learning_rate=1.5e-3, **more)
train('drums.h5', 'models/second', start='models/first', epochs=5, n_batches=300,
      batch_size=4, learning_rate=1.2e-3, schedule='cosine', **more)
average_models('models/first', 'models/second', 'models/drums', .35)
end
songsep models shrink models/drums

# Real songs; and music without drums, in which whatever is found is too much
songsep evaluate "$validation" --model models/drums -o scores.json
python "$here/silent.py" drumless "$data"/drumless/{acoustic_guitar_trow,piano_novarina_minimalism_10,trumpet_sorohan}.ogg
songsep evaluate drumless --model models/drums -o drumless.json
python "$here/card.py" models/drums drumless.json scores.json
