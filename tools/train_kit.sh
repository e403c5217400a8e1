#!/usr/bin/env bash
# Makes the model that takes a drum kit apart (kick, snare, toms, hi-hat, cymbals), from what people played to its card:
#   tools/train_kit.sh DATA VALIDATION WORK
# DATA and the sounds of Debian as for tools/render.sh, of which it needs drum_midi, kits and irs; VALIDATION: songs with a
# stem of drums, which only judge; WORK: a folder with 16 GB free.
# Stopped and started again, it goes on where it was. One core takes half an hour to render and prepare, and an hour to train.
set -euo pipefail
data=$1 validation=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
source "$here/sounds.sh"
mkdir -p "$work" && cd "$work"

# Performances of one split and kind (`beat` or `fill`) that last so many seconds, at most so many, evenly spread
performances() {
    python - "$data/drum_midi" "$@" <<'end'
import json, sys
from pathlib import Path
folder, split, kind, seconds, most = Path(sys.argv[1]), *sys.argv[2:]
rows = json.loads((folder/'index.json').read_text())
played = [o['file'] for o in rows if (o['split'], o['kind']) == (split, kind) and o['seconds'] >= float(seconds)]
n = min(len(played), int(most))
print('\n'.join(str(folder/played[i*len(played)//n]) for i in range(n)))
end
}

# The kits that it learns from. Those that test it, and gogodze_dry, which is gogodze_retro by other microphones, stay out
kits=() ground=(--soundfont $fluid --soundfont $muse --soundfont $sounds/sf_GMbank.sf2)
for o in "${recorded[@]}" "${electronic[@]}"; do [ "$o" = --drum-soundfont ] || [ "$(basename "$o")" = gogodze_dry ] || kits+=(--drum-soundfont "$o"); done
mapfile -t beats < <(performances train beat 8 200)
mapfile -t fills < <(performances train fill 3 150) # where most of the toms are
[ -e kit.h5 ] || songsep synth "${beats[@]}" "${fills[@]}" -o kit --drum-pieces --varied --max-seconds 30 --seed 4 --jobs 1 --format wav "${kits[@]}" "${ground[@]}" "${plates[@]}"

# Kits that were never heard, played by the test split
mapfile -t beats < <(performances test beat 12 18)
mapfile -t fills < <(performances test fill 3 18)
unheard() { # a name, a kit, and which of the performances it plays
    [ -e "kit_test/$1" ] || songsep synth "${beats[@]:$3:6}" "${fills[@]:$3:6}" -o "kit_test/$1" --drum-pieces --max-seconds 12 --jobs 1 --format wav --drum-soundfont "$2" --soundfont $sounds/TimGM6mb.sf2
}
unheard retro "$data/kits/gogodze_retro" 0
unheard zeppelin $sounds/Red_Zeppelin_4_LV2.sf2 6
unheard millo $hydrogen/Millo_MultiLayered3 12

# Half the frame of other models: a stroke is short. Above 11 kHz the network would learn little: an ideal mask loses 1 dB there on the
# snare, 0.2 on the others
songsep prepare kit -o kit.h5 --recipe kit --n-fft 2048 --hop-length 512 --max-hz 11025 --keep-phase --most 7
