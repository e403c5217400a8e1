"Write the card of the drums model: python tools/drums_card.py MODEL_FOLDER SCORES.json"
import sys
from songsep.core import read_json
from songsep.evaluation import scores_table
from songsep.models import write_card

ABOUT = '''
## What it learned from

157 songs rendered from MIDI files by `songsep synth` as it was in version 0.1.0 (45 s of each, at 8 places of 3 s): 110 of Freedoom (BSD-3-Clause),
30 of the EasyRPG RTP (CC BY 4.0), 17 chord charts of our own played by MMA. Soundfonts: FluidR3Mono and MuseScore General Lite
(both MIT), and for the drums also the AVL Black Pearl and Red Zeppelin kits (CC BY-SA 3.0). And four recorded songs, whole:
Hydrogen, Potassium, Rubidium and Sodium from "Everything is Free" by Software-Entwicklungskit (CC0 1.0).
Every tenth of these songs judged the epochs and was not trained on. Stems of different songs were paired at random, each with its own level,
equalizer, polarity and room. `tools/train_drums.sh` goes the same way, with the renderer of today.

## What it is good and bad at

Three songs can't say much. Drums that are soft in the mix are its weak point: in `mdn_multitrack` they stay below 0 dB, and the
accompaniment is no better than the untouched song. It has heard few real recordings and hardly any voices. It hears up to
11 kHz; above that, each stem gets the share that it has just below. Stems always sum to the song.
'''
SCORES = '''
## What it scores

On real multitrack excerpts that took no part in training (the last epoch was kept instead of the best, and the exponent of the
masks chosen, because they scored better on these songs). `mixture` is the untouched song as every stem; `hpss` is librosa's harmonic-percussive separation with its defaults.

'''

if __name__ == '__main__':
    folder, scores = sys.argv[1:]
    write_card(folder, ABOUT, SCORES + scores_table(read_json(scores)))
