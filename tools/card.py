"""Write the card of a model that ships: python tools/card.py MODEL_FOLDER SCORES.json...

`cards/<name>.md` is its text. Each of its lines `TABLE` becomes the table of the next scores, of medians and means
alone where songs are many; a line `SILENT` says what the model leaves of the first stem in songs without it.
"""
import sys
from pathlib import Path
from songsep.core import read_json
from songsep.evaluation import METHODS, scores_table
from songsep.folder import write_card

folder, *scores = map(Path, sys.argv[1:])
text = (Path(__file__).parent/'cards'/f'{folder.name}.md').read_text(encoding='utf-8')

def silent(scores):
    "What is left of the first stem, song by song"
    model, = (v for k,v in scores.items() if k not in METHODS)
    levels = {song: next(iter(by.values()))['leak'] for song,by in model.items()}
    return ', '.join(f'{song} {db:.0f} dB' for song,db in levels.items())

for o in map(read_json, scores):
    table, line = text.find('\nTABLE\n'), text.find('\nSILENT\n')
    if line < 0 or 0 <= table < line: text = text.replace('\nTABLE\n', f"\n{scores_table(o, songs=len(o['mixture']) < 12)}\n", 1)
    else: text = text.replace('\nSILENT\n', f'\n{silent(o)}.\n', 1)
write_card(folder, text)
