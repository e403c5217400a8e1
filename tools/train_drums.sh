#!/usr/bin/env bash
# Makes the drums model that ships, from MIDI files and recorded sounds to its card:
#   tools/train_drums.sh DATA VALIDATION WORK
# DATA and WORK as for tools/render.sh, which runs first; VALIDATION: songs with drums, which only judge.
# It goes on from the `drums` that ship, which began on a GPU (tools/gpu.py).
# Stopped and started again, it goes on where it was. One core takes four hours to render, prepare and train.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/arguments.sh" 3 "$@"
data=$(folder "$1") validation=$(folder "$2")
"$here/render.sh" "$data" "$3"
cd "$3"

# Tracks of several folders go into one store by their names
rename() { for o in "$1"/Track*; do [ ! -e "$o" ] || mv "$o" "$1/$2${o#"$1"/Track}"; done; }
rename drummers Drummer
rename machines Machine
rename more_machines Computed
prepare() { songsep prepare "$@" -o drums.h5 --recipe drums --max-hz 11025 --keep-phase; }
songs=("$data"/cc0_stems/{hydrogen,potassium,rubidium,sodium})
[ -e speeds ] || { python "$here/speeds.py" speeds.new "${songs[@]}" && mv speeds.new speeds; }
prepare "${songs[@]}" parts
prepare speeds
prepare drummers --most 6
prepare machines --most 4
prepare more_machines --most 4
prepare rendered --most 10

# What ships hears songs at 12 % of their level and learned at the full one. Nine of ten examples are remixed
shipped=$(python -c "from songsep.models import find_model; print(find_model('drums'))")
python "$here/blend.py" models/full/drums "$shipped" --gain 8.33
python - <<'end'
from songsep.training import train
train('drums.h5', 'models/drums', start='models/full/drums', epochs=11, n_batches=130, batch_size=4, learning_rate=6e-4, schedule='cosine',
      remixed=.95, phase_sensitive=True, ema=.997, clipnorm=1., keep='last', patience=99, validation=.01)
end

# From there four short runs, each with examples of its own; their mean, which none of them reaches, hears songs at 12 % of their level
python - <<'end'
from songsep.training import train
for seed in range(4):
    train('drums.h5', f'models/short{seed}', start='models/drums', epochs=4, n_batches=130, batch_size=4, learning_rate=6e-4, schedule='cosine',
          remixed=.9, phase_sensitive=True, ema=.995, clipnorm=1., keep='last', patience=99, validation=.01, seed=seed)
end
python "$here/blend.py" models/mean/drums models/drums models/short* --gain .12
songsep models shrink models/mean/drums

# Real songs; and music without drums, in which whatever is found is too much
songsep evaluate "$validation" --model models/mean/drums -o scores.json
python "$here/silent.py" drumless "$data"/drumless/{acoustic_guitar_trow,piano_novarina_minimalism_10,trumpet_sorohan}.ogg
songsep evaluate drumless --model models/mean/drums -o drumless.json
python "$here/card.py" models/mean/drums drumless.json scores.json
