#!/usr/bin/env bash
# Trains drums, bass, guitar, piano and other, from what tools/train_drums.sh left behind, and scores them on songs, sounds and kits of their own:
#   tools/train_band.sh MIDI STEMS VALIDATION WORK
# MIDI: the folders openmsx, planetblupi and simutrans, which test and never train; STEMS and WORK as for the drums model,
# WORK with 10 GB free; VALIDATION: real songs with drums and bass. Sounds for the test (Debian): timgm6mb-soundfont hydrogen-drumkits avldrums.lv2-soundfont.
# Stopped and started again, it goes on where it was. Two cores take an hour and a half.
set -euo pipefail
midi=$1 stems=$2 validation=$3 work=$4 here=$(cd "$(dirname "$0")" && pwd)
cd "$work"

# A folder a stem: what is recorded alone
mkdir -p band_parts/{drums,vocals,bass}
for song in hydrogen potassium rubidium sodium; do
    for stem in drums vocals bass; do [ ! -e "$stems/$song/$stem.ogg" ] || cp "$stems/$song/$stem.ogg" band_parts/$stem/$song.ogg; done
done
cp parts/drums/* band_parts/drums
cp -r parts/guitar band_parts

prepare() { songsep prepare "$@" -o band.h5 --recipe band --max-hz 11025 --keep-phase; }
prepare band_parts
prepare rendered --most 8

# Five stems, most of them soft: masks that sum to one, and a loss that does not leave the soft ones empty
python - <<'end'
from songsep.training import train
train('band.h5', 'models/band', 'tfc_tdf_unet', dict(output='shares'), epochs=26, learning_rate=2e-3, schedule='cosine', n_batches=200, remixed=True,
      loss='compressed', alphas=[.2]*5, ema=.99, clipnorm=1., keep='last', patience=99)
end
songsep models shrink models/band

# Other songs, another soundfont, other kits
kits=/usr/share/hydrogen/data/drumkits
songsep synth "$midi"/{openmsx,planetblupi,simutrans} -o heldout --max-seconds 30 --soundfont /usr/share/sounds/sf2/TimGM6mb.sf2 \
    --drum-soundfont $kits/Millo_MultiLayered3 --drum-soundfont /usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2
songsep evaluate heldout --model models/band -o band_scores.json --report band_scores.html
songsep evaluate "$validation" --model models/band --partial -o band_real.json
python "$here/card.py" models/band band_scores.json band_real.json
