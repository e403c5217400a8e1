#!/usr/bin/env bash
# Makes the model of drums, bass, guitar, piano and other, from what tools/train_drums.sh left behind to its card:
#   tools/train_band.sh MIDI STEMS VALIDATION WORK
# MIDI: the folders easyrpg_rtp, freedoom and mma_generated, and openmsx, planetblupi and simutrans, which test and never train; STEMS and WORK as for the drums model,
# WORK with 30 GB free; VALIDATION: real songs with drums and bass. More sounds to learn from (Debian): csound-soundfont opl3-soundfont; for the test: timgm6mb-soundfont.
# Stopped and started again, it goes on where it was. Two cores take a quarter of an hour to render and prepare, and three hours to train.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/arguments.sh" 4 "$@"
midi=$(folder "$1") stems=$(folder "$2") validation=$(folder "$3") work=$(folder "$4")
data=$(dirname "$midi") # where the other sounds are
source "$here/sounds.sh"
cd "$work"
there "$work"/{parts,rendered} "$midi"/{easyrpg_rtp,freedoom,mma_generated,openmsx,planetblupi,simutrans} "$fluid" "$muse" "${debian[@]}" \
    $sounds/{sf_GMbank,Black_Pearl_4_LV2,OPL-3_FM_128M,TimGM6mb,Red_Zeppelin_4_LV2}.sf2 "$hydrogen/Millo_MultiLayered3"

# A folder a stem: what is recorded alone
mkdir -p band_parts/{drums,vocals,bass}
for song in hydrogen potassium rubidium sodium; do
    for stem in drums vocals bass; do [ ! -e "$stems/$song/$stem.ogg" ] || cp "$stems/$song/$stem.ogg" band_parts/$stem/$song.ogg; done
done
cp parts/drums/* band_parts/drums
cp -r parts/guitar band_parts

# Songs by other instruments, of other kinds: two soundfonts make a network that knows two soundfonts
drums=(--drum-soundfont $sounds/Black_Pearl_4_LV2.sf2 --drum-soundfont $sounds/sf_GMbank.sf2 "${debian[@]}")
other=(--soundfont $sounds/sf_GMbank.sf2 --soundfont $sounds/sf_GMbank.sf2 --soundfont $sounds/OPL-3_FM_128M.sf2)
render() { # a folder, what its songs are called (the first ones are Track already), and how they are made
    local folder=$1 name=$2 song; shift 2
    [ ! -e $folder ] || return 0
    songsep synth "$midi"/easyrpg_rtp "$midi"/freedoom "$@" "${drums[@]}" "${other[@]}" -o $folder.part --max-seconds 60 --varied
    for song in $folder.part/Track*; do mv "$song" "$folder.part/$name${song#$folder.part/Track}"; done
    mv $folder.part $folder
}
render more Tune "$midi"/mma_generated/??[145]_*.mid --seed 1
render most Air "$midi"/mma_generated/??[279]_*.mid --seed 2 --soundfont $fluid --soundfont $muse --drum-soundfont $muse

prepare() { songsep prepare "$@" -o band.h5 --recipe band --max-hz 11025 --keep-phase; }
prepare band_parts --most 16
prepare rendered --most 6
prepare more --most 7
prepare most --most 7

# Five stems, most of them soft: masks that sum to one, and a loss that does not leave the soft ones empty
python - <<'end'
from songsep.training import train
train('band.h5', 'models/band', 'tfc_tdf_unet', dict(output='shares'), epochs=40, batch_size=4, learning_rate=1.5e-3, schedule='cosine', n_batches=500, remixed=.8,
      loss='relative', alphas=[.2]*5, ema=.995, clipnorm=1., keep='last', patience=99)
end
songsep models shrink models/band

# Other songs, another soundfont, other kits
songsep synth "$midi"/{openmsx,planetblupi,simutrans} -o heldout --max-seconds 30 --soundfont $sounds/TimGM6mb.sf2 \
    --drum-soundfont $hydrogen/Millo_MultiLayered3 --drum-soundfont $sounds/Red_Zeppelin_4_LV2.sf2
songsep evaluate heldout --model models/band -o band_scores.json --report band_scores.html
songsep evaluate "$validation" --model models/band --partial -o band_real.json
python "$here/card.py" models/band band_scores.json band_real.json
