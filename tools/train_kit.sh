#!/usr/bin/env bash
# Makes the model that takes a drum kit apart (kick, snare, toms, hi-hat, cymbals), from what people played to its scores:
#   tools/train_kit.sh DATA VALIDATION WORK
# DATA and the sounds of Debian as for tools/render.sh, of which it needs drum_midi, kits and irs; VALIDATION: songs with a
# stem of drums, which only judge; WORK: a folder with 16 GB free.
# What ships learned on by tools/gpu.py (`pack --start models/kit`) before its last stretch, by the mean of the weights before and after.
# Stopped and started again, it goes on where it was. A core takes ten minutes to render and prepare, two hours to train.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/arguments.sh" 3 "$@"
data=$(folder "$1") validation=$(folder "$2")
source "$here/sounds.sh"
there "$data/drum_midi" "$fluid" "$muse" $sounds/{sf_GMbank,TimGM6mb,Red_Zeppelin_4_LV2}.sf2 "$hydrogen/Millo_MultiLayered3" \
    "${recorded[@]}" "${electronic[@]}" "${plates[@]}"
mkdir -p "$3" && cd "$3"

# The kits that it learns from. Those that test it, and gogodze_dry, which is gogodze_retro by other microphones, stay out
kits=() ground=(--soundfont $fluid --soundfont $muse --soundfont $sounds/sf_GMbank.sf2)
for o in "${recorded[@]}" "${electronic[@]}"; do
    [ "$o" = --drum-soundfont ] || [ "$(basename "$o")" = gogodze_dry ] || kits+=(--drum-soundfont "$o")
done
mapfile -t beats < <(performances train beat 8 | spread 200)
mapfile -t fills < <(performances train fill 3 | spread 150) # where most of the toms are
synth() { songsep synth "$@" --drum-pieces --jobs 1 --format wav; }
[ -e kit.h5 ] || synth "${beats[@]}" "${fills[@]}" -o kit --varied --max-seconds 30 --seed 4 "${kits[@]}" "${ground[@]}" "${plates[@]}"

# Kits that were never heard, played by the test split
mapfile -t beats < <(performances test beat 12 | spread 18)
mapfile -t fills < <(performances test fill 3 | spread 18)
unheard() { # a name, a kit, and which of the performances it plays
    synth "${beats[@]:$3:6}" "${fills[@]:$3:6}" -o "kit_test/$1" --max-seconds 12 --drum-soundfont "$2" --soundfont $sounds/TimGM6mb.sf2
}
unheard retro "$data/kits/gogodze_retro" 0
unheard zeppelin $sounds/Red_Zeppelin_4_LV2.sf2 6
unheard millo $hydrogen/Millo_MultiLayered3 12

# The frames of other models, so that the network of `band` is a start: it knows drums already. Above 11 kHz it would gain little:
# there an ideal mask loses 1 dB on the snare, 0.2 dB on the others
songsep prepare kit -o kit.h5 --recipe kit --max-hz 11025 --keep-phase --most 7

# A piece is silent most of the time, and the likeliest magnitude of a bin is then 0: learning by absolute errors, all went to the
# snare. Squares of roots don't leave the others empty, and shares sum to one
python - <<'end'
from songsep.models import find_model
from songsep.training import train
train('kit.h5', 'models/kit', 'tfc_tdf_unet', dict(output='shares'), start=find_model('band'), epochs=30, n_batches=200, batch_size=4,
      learning_rate=1.5e-3, schedule='cosine', remixed=.5, loss='compressed', alphas=[.2]*5, ema=.99, clipnorm=1., keep='last', patience=99,
      validation=.02)
end
# Then what is in phase with the drums, at a low rate: medians of museval's SDR rose by 2.8 dB (kick), 1.4 (snare), 3.2 (toms)
python - <<'end'
from songsep.training import train
train('kit.h5', 'models/in_phase/kit', start='models/kit', epochs=11, n_batches=120, batch_size=4, learning_rate=3e-4, schedule='cosine',
      remixed=.75, phase_sensitive=True, alphas=[.2]*5, ema=.98, clipnorm=1., keep='last', patience=99, validation=.01)
end
songsep models shrink models/in_phase/kit

# Kits that it never heard, and real drums
python "$here/../benchmarks/kit.py" models/in_phase/kit --unheard kit_test/* --learned kit --songs "$validation" -o kit_scores.json
