"Properties that hold for whatever comes: round trips, lengths, sums. Hypothesis looks for what breaks them."
import numpy as np, pytest
hypothesis = pytest.importorskip('hypothesis', reason='needs hypothesis: pip install "songsep[dev]"')
from hypothesis import given, settings, strategies as st
from songsep.audio import quantise, rechunk, resample, resample_blocks
from songsep.core import SongsepError
from songsep.preprocessing import join, segment, spread
from songsep.recipes import recipe_from
from songsep.songs import Output
from songsep.spectrogram import istft, stft

few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
def noise(n, channels=1, seed=0): return np.random.default_rng(seed).uniform(-1, 1, (channels, n)).astype('float32')
def split(y, cuts): return [o for o in np.split(y, sorted(min(c, y.shape[1]) for c in cuts), 1) if o.shape[1]]
cuts = st.lists(st.integers(0, 20_000), max_size=6)

@few
@given(st.integers(0, 5000), st.integers(1, 3000))
def test_segments_join_to_the_song(n, size):
    y = noise(n)[0]
    segments = segment(y, size)
    assert segments.shape == (max(1, -(-n//size)), size) and np.array_equal(join(segments, n), y)

@few
@given(st.integers(1, 2000), st.integers(1, 2000))
def test_segments_are_spread_over_a_song(n, most):
    at = spread(n, most)
    assert len(at) == min(n, most) and len(set(at)) == len(at) and list(at) == sorted(at) and at[0] == 0 and (at[-1] == n-1 or most == 1)

@few
@given(st.sampled_from([256, 512, 1024, 2048]), st.sampled_from([2, 4, 8]), st.integers(0, 9000), st.integers(1, 3))
def test_a_spectrogram_goes_back_to_its_sound(n_fft, share, more, channels):
    y, hop = noise(n_fft + more, channels), n_fft//share
    back = istft(stft(y, n_fft, hop), y.shape[1], hop)
    assert back.shape == y.shape and np.abs(back - y).max() < 1e-5

@few
@given(st.integers(1, 20_000), st.integers(1, 7000), cuts)
def test_blocks_of_another_length_are_the_same_sound(n, size, at):
    y = noise(n, 2)
    blocks = list(rechunk(iter(split(y, at)), size))
    assert np.array_equal(np.concatenate(blocks, 1), y) and all(o.shape[1] == size for o in blocks[:-1])

@few
@given(st.integers(1, 20_000), st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000]), st.sampled_from([8000, 16000, 22050, 44100, 48000]), cuts)
def test_resampling_keeps_the_length_however_the_sound_comes(n, sr, new, at):
    y = noise(n, 2)
    want = resample(y, sr, new)
    got = np.concatenate(list(resample_blocks(iter(split(y, at)), sr, new)), 1)
    assert want.shape[1] == -(-n*new//sr) and abs(got.shape[1] - n*new/sr) <= 1
    k = min(got.shape[1], want.shape[1])
    assert np.abs(got[:, :k] - want[:, :k]).max(initial=0) < 1e-3

@few
@given(st.sampled_from(['PCM_16', 'PCM_24']), st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=50))
def test_rounding_stays_in_its_range(subtype, values):
    y = np.array([values], 'float32')
    top, q = {'PCM_16': 2**15, 'PCM_24': 2**23}[subtype], quantise(y, subtype)
    assert q.min() >= -top and q.max() < top and np.abs(q/top - y.clip(-1, 1 - 1/top)).max() <= .51/top + 1e-7
    assert np.abs(quantise(y, subtype, clip=False)/top - y).max() <= .51/top + 3e-7

names = st.text('abcdefgh _-', min_size=1, max_size=8)
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda o: st.lists(o, max_size=3) | st.dictionaries(st.text(max_size=9), o, max_size=3), max_leaves=5)
values = st.lists(st.integers(0, 127) | names, max_size=4)

@few
@given(st.fixed_dictionaries({'Mixing key': st.just('inst_class') | anything, 'Recipes': st.dictionaries(names, values, max_size=4) | anything}, optional={'Names': st.dictionaries(names, values, max_size=2) | anything}))
def test_a_recipe_comes_back_or_is_refused(d):
    try: recipe = recipe_from(d, 'mine')
    except SongsepError as e: assert '\n' not in str(e); return
    assert recipe_from(recipe.to_dict(), 'mine') == recipe

@few
@given(anything)
def test_what_is_no_recipe_is_refused(d):
    with pytest.raises(SongsepError): recipe_from(d, 'mine')

@few
@given(st.lists(st.tuples(st.sampled_from('+-'), st.sampled_from(['drums', 'bass', 'other', 'mix'])), min_size=1, max_size=6))
def test_combinations_are_what_they_say(terms):
    W = Output(mixes=('x=' + ''.join(s + k for s,k in terms),)).weights(['drums', 'bass', 'other'])['x']
    want = sum((1 if s == '+' else -1)*np.array([k in (o, 'mix') for o in ('drums', 'bass', 'other')], float) for s,k in terms)
    assert np.array_equal(W, want)
