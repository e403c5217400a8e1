"""A graph of MDX-Net's form with random weights, by songsep and by audio-separator: the same stem.

    pip install onnx "audio-separator[cpu]==0.47"
    python benchmarks/mdx.py

No published graph is fetched. audio-separator's own class for MDX-Net does the work, called as its `Separator` does;
only its list of models, which it loads from the network, is left out.
"""
import argparse, logging, tempfile
from pathlib import Path
import numpy as np, onnx, soundfile as sf
from onnx import helper, numpy_helper
from separate import song_of
from songsep.graphs import import_graph
from songsep.models import open_model
from songsep.separation import separate_blocks

N_FFT, HOP, BINS, FRAMES = 6144, 1024, 2048, 256 # as most of the published graphs have them

def random_graph(path, seed=0, channels=8):
    "Three convolutions, of which each bin hears its neighbours in time and in frequency"
    rng, sizes = np.random.default_rng(seed), [4, channels, channels, 4]
    nodes, constants, x = [], [], 'input'
    for i,(a,b) in enumerate(zip(sizes, sizes[1:])):
        k = rng.normal(size=(b, a, 3, 3)).astype('float32')/np.float32(3*np.sqrt(a))
        constants.append(numpy_helper.from_array(k, f'k{i}'))
        nodes.append(helper.make_node('Conv', [x, f'k{i}'], [f'c{i}'], pads=[1]*4))
        if i < 2: nodes.append(helper.make_node('Tanh', [f'c{i}'], [f't{i}']))
        x = f't{i}'
    nodes[-1].output[0] = 'output'
    info = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['batch', 4, BINS, FRAMES])
    graph = helper.make_graph(nodes, 'random', [info('input')], [info('output')], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), path)
    return path

def theirs(path, mix):
    "The stem by audio-separator"
    import torch
    from audio_separator.separator.architectures.mdx_separator import MDXSeparator
    data = dict(compensate=1., mdx_dim_f_set=BINS, mdx_dim_t_set=int(np.log2(FRAMES)), mdx_n_fft_scale_set=N_FFT, primary_stem='Vocals')
    common = dict(logger=logging.getLogger('mdx'), log_level=logging.WARNING, torch_device=torch.device('cpu'), model_name='random', model_path=str(path),
                  model_data=data, onnx_execution_provider=['CPUExecutionProvider'], sample_rate=44100, normalization_threshold=.9, amplification_threshold=0.)
    return MDXSeparator(common, dict(segment_size=FRAMES, overlap=.25, batch_size=1, hop_length=HOP, enable_denoise=False)).demix(mix)

def ours(path, folder, mix):
    "The stem by songsep"
    model = open_model(import_graph(path, folder, n_fft=N_FFT, hop_length=HOP))
    return np.concatenate([*separate_blocks([mix], 44100, model)], -1)[0]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seconds', type=int, default=20, help='length of the song')
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        mix = sf.read(song_of(args.seconds, Path(d)), dtype='float32', always_2d=True)[0].T
        path = random_graph(Path(d)/'random.onnx')
        a, b = theirs(path, mix), ours(path, Path(d)/'models', mix)
    error = np.abs(a - b).max(0)
    tile = (FRAMES-1)*HOP
    last = (mix.shape[1] + N_FFT//2)//int(.75*tile)*int(.75*tile) - N_FFT//2 # where its last tile begins
    print(f'peak of the stem {np.abs(a).max():.3f}; largest difference {error.max():.1e}; before the last tile {error[:last].max():.1e}')

if __name__ == '__main__': main()
