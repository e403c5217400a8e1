"""Make drum machines: `python tools/machines.py OUT N`

Each is a kit of Hydrogen whose sounds are computed by numbers of its own. A bass drum is a sine that falls to its pitch and rings on,
as the TR-808 has it (Werner, Abel, Smith 2014, "A physically-informed, circuit-bendable, digital model of the Roland TR-808 bass
drum circuit"); hats and cymbals are six square waves and noise.
"""
import sys
from pathlib import Path
import numpy as np, soundfile as sf
from scipy.signal import butter, sosfilt, square

SR = 44100

def times(seconds): return np.arange(int(seconds*SR))/SR
def fade(t, seconds): return np.exp(-t/seconds)
def band(y, hz, kind): return sosfilt(butter(2, hz, kind, fs=SR, output='sos'), y)

def falling(rng, low, high, rings):
    "A sine that falls to `low`..`high` Hz, and fades within `rings` seconds"
    pitch, above, fall, ring = rng.uniform(low, high), rng.uniform(.3, 5), rng.uniform(.008, .06), rng.uniform(*rings)
    t = times(8*ring)
    hz = pitch*(1 + above*fade(t, fall))
    held = rng.uniform(0, .15)
    y = np.sin(2*np.pi*np.cumsum(hz)/SR)*np.minimum(1, fade(t - held, ring))
    return np.tanh(rng.uniform(.3, 4)*y)

def kick(rng):
    y = falling(rng, 38, 75, (.06, .35))
    click = fade(np.arange(len(y))/SR, rng.uniform(.001, .006))*rng.normal(size=len(y))
    return y + rng.uniform(0, .4)*click

def snare(rng):
    t, pitch = times(1), rng.uniform(150, 260)
    body = sum(np.sin(2*np.pi*pitch*k*t)*fade(t, rng.uniform(.03, .15)) for k in (1, rng.uniform(1.4, 2)))
    wires = band(rng.normal(size=len(t)), rng.uniform(500, 3000), 'highpass')*fade(t, rng.uniform(.04, .25))
    return rng.uniform(.2, 1)*body + wires

def metal(rng, ring):
    t, tune = times(6*ring), rng.uniform(.7, 1.6)
    squares = sum(square(2*np.pi*tune*hz*t) for hz in (205.3, 304.4, 369.6, 522.7, 540, 800))
    y = squares/6 + rng.uniform(0, 2)*rng.normal(size=len(t))
    return band(y, rng.uniform(4000, 9000), 'highpass')*fade(t, ring)

def clap(rng):
    t = times(.8)
    bursts = sum(fade(t - d, .01)*(t >= d) for d in (0, .011, .022)) + fade(t, rng.uniform(.05, .2))
    noise = rng.normal(size=len(t))
    edges = sorted(rng.uniform((600, 1500), (1200, 4000)))
    return band(noise*bursts, edges, 'bandpass')

def cowbell(rng):
    t, tune = times(.6), rng.uniform(.9, 1.1)
    return band(sum(square(2*np.pi*tune*hz*t) for hz in (540, 800)), (500, 3000), 'bandpass')*fade(t, rng.uniform(.05, .2))

def metal_of(least, most): return lambda rng: metal(rng, rng.uniform(least, most))
def falling_of(low, high, *rings): return lambda rng: falling(rng, low, high, rings)

SOUNDS = {'Kick': kick, 'Snare': snare, 'Clap': clap, 'Cowbell': cowbell, 'Side stick': lambda rng: snare(rng)[:int(.03*SR)],
          'Closed hat': metal_of(.015, .06), 'Pedal hat': metal_of(.02, .08), 'Open hat': metal_of(.15, .5),
          'Crash': metal_of(.5, 1.2), 'Ride': metal_of(.3, .8),
          'Floor tom': falling_of(70, 110, .08, .3), 'Tom 2': falling_of(100, 160, .08, .25), 'Tom 1': falling_of(140, 220, .06, .2)}

def machine(folder, seed):
    "Write one kit"
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for name,sound in SOUNDS.items():
        y = sound(rng)
        sf.write(folder/f'{name}.flac', y*(10**(rng.uniform(-12, -1)/20)/np.abs(y).max()), SR)
        rows.append(f'<instrument><name>{name}</name><filename>{name}.flac</filename></instrument>')
    (folder/'drumkit.xml').write_text(f"<drumkit_info><instrumentList>{''.join(rows)}</instrumentList></drumkit_info>")

if __name__ == '__main__':
    out, n = Path(sys.argv[1]), int(sys.argv[2])
    for i in range(n): machine(out/f'machine_{i:02}', i)
