"""Blend models of one network: python tools/blend.py OUT MODEL... [--gain .2]

The weights of OUT are the mean of theirs (Wortsman et al. 2022, arXiv 2203.05482); all else is as in the first. With `--gain`
it hears every song so many times as loud. Its masks are shares, so its stems are as loud as before.
"""
import argparse
from dataclasses import replace
from pathlib import Path
import keras, numpy as np
from songsep.folder import load_model, save_model
from songsep.spectrogram import POWER

def mean_weights(folders):
    "Mean of the weights of several models"
    every = [load_model(o)[0].get_weights() for o in folders]
    return [np.mean(same, 0) for same in zip(*every)]

def hear(net, gain):
    "Let `net`, whose first convolution sees powers of magnitudes, hear songs `gain` times as loud"
    first = next(o for o in net.layers if isinstance(o, keras.layers.Conv2D))
    kernel, *bias = first.get_weights()
    first.set_weights([kernel*np.float32(gain**POWER), *bias])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('out', type=Path)
    p.add_argument('models', type=Path, nargs='+')
    p.add_argument('--gain', type=float, default=1.)
    args = p.parse_args()
    net, spec = load_model(args.models[0])
    makes = dict(scale='power', output='mask') | spec.arguments
    if makes['scale'] != 'power' or makes['output'] == 'spectrogram': p.error(f'{spec.name} makes no masks from powers of magnitudes')
    net.set_weights(mean_weights(args.models))
    hear(net, args.gain)
    how = (spec.training or {}) | dict(mean_of=len(args.models), gain=args.gain)
    save_model(args.out, net, replace(spec, training=how, onnx_crc32=None, tflite_crc32=None))

if __name__ == '__main__': main()
