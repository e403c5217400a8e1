"The original road: weights at `saved_models/modelCheckpoint.h5`, a song at its old place, stems in `results`."
import os, shutil
import h5py, numpy as np, pytest, soundfile as sf
from songsep.checkpoints import load_original, original_facts
from songsep.core import SongsepError, sha256
from songsep.folder import read_spec
from songsep.pipeline import PipelineHandler
from songsep.synth.toy import toy_dataset
from test_models import write_original

def handler(root, n=2, segment=1, hop=128): return PipelineHandler(8000, segment, 256, hop, root, 4, n)

@pytest.fixture
def root(tmp_path):
    "A project with a song of two seconds, stereo and at another rate than the model's"
    song = tmp_path/'data'/'song_to_seperate'/'seperateMyTracks.wav'
    song.parent.mkdir(parents=True)
    sf.write(song, np.random.default_rng(0).normal(size=(2*11025, 2))*.1, 11025)
    return tmp_path

@pytest.fixture
def weights(root):
    path = root/'saved_models'/'modelCheckpoint.h5'
    path.parent.mkdir()
    write_original(path)
    return path

def whole(folder, song):
    "The stems, which are as long as the song and sum to it"
    stems = {o.stem: sf.read(o)[0] for o in folder.glob('*.wav')}
    y = sf.read(song)[0]
    assert set(stems) == {'drums', 'accompaniments'} and np.abs(sum(stems.values()) - y).max() < 1e-4
    return stems

def test_from_a_file_of_the_original_to_stems(root, weights, capsys):
    folder = handler(root).predict()
    whole(folder, root/'data'/'song_to_seperate'/'seperateMyTracks.wav')
    assert folder == root/'results'/'seperateMyTracks'
    made = root/'saved_models'/'modelCheckpoint_h5'
    assert f'{weights} was converted' in capsys.readouterr().out and not list(root.glob('saved_models/.*'))
    before = {o: o.stat().st_mtime_ns for o in made.iterdir()}
    handler(root).predict()
    assert before == {o: o.stat().st_mtime_ns for o in made.iterdir()} and 'converted' not in capsys.readouterr().out

def test_the_settings_are_those_of_the_handler(root, weights):
    handler(root, segment=.5, hop=64).predict()
    assert read_spec(root/'saved_models'/'modelCheckpoint_h5').config.hop_length == 64
    handler(root).predict()
    assert read_spec(root/'saved_models'/'modelCheckpoint_h5').config.hop_length == 128

def test_channels_that_do_not_fit(root, weights):
    write_original(weights, outputs=4)
    with pytest.raises(SongsepError, match=r'modelCheckpoint\.h5 has 4 output channels, and 2 targets were expected'): handler(root).predict()
    assert os.listdir(weights.parent) == ['modelCheckpoint.h5']

def test_a_damaged_file_leaves_what_was_converted_before(root, weights):
    handler(root).predict()
    made = root/'saved_models'/'modelCheckpoint_h5'
    spec = read_spec(made)
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(SongsepError, match='damaged'): handler(root).predict()
    assert read_spec(made) == spec and sorted(os.listdir(weights.parent)) == ['modelCheckpoint.h5', 'modelCheckpoint_h5']

def test_nothing_trained_says_where_weights_go(root):
    with pytest.raises(SongsepError, match=r'modelCheckpoint\.h5 does not exist.*put trained weights there'): handler(root).predict()

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp('trained')
    toy_dataset(root/'data'/'training_data', n_tracks=2, seconds=2, sr=8000)
    h = handler(root)
    h.preprocess()
    h.trainModel(epochs=1)
    return root

def test_what_was_trained_here_is_in_the_original_layout(trained):
    path, folder = (trained/'saved_models'/o for o in ('modelCheckpoint.h5', 'modelCheckpoint'))
    with h5py.File(path) as f:
        blocks = [o.decode() for o in f.attrs['layer_names']]
        arrays = [f[b][o] for b in blocks for o in f[b].attrs['weight_names']]
        names = f['convolutional_block_8'].attrs['weight_names'].tolist()
    assert len(arrays) == 111 and blocks[0] == 'encoder_block' and blocks[-1] == 'conv2d_10'
    assert names == [f'convolutional_block_8/{o}:0'.encode() for o in ('conv2d_8/kernel', *(f'batch_normalization_8/{k}' for k in ('gamma', 'beta', 'moving_mean', 'moving_variance')))]
    assert original_facts(path)['weights_sha256'] == read_spec(folder).weights_sha256 == sha256(folder/'model.weights.h5')

def test_weights_trained_here_separate_elsewhere(trained, tmp_path, capsys):
    toy_dataset(tmp_path/'song', n_tracks=1, seconds=2, sr=8000, seed=9, fmt='wav')
    song = tmp_path/'song'/'Track00001'/'mix.wav'
    elsewhere = handler(tmp_path/'elsewhere')
    shutil.copy2(trained/'saved_models'/'modelCheckpoint.h5', elsewhere.checkpoint_path)
    here, there = (whole(h.predict(song), song) for h in (handler(trained), elsewhere))
    for k in here: np.testing.assert_array_equal(here[k], there[k])
    with pytest.raises(SongsepError, match='hop_length is 128 there and 64 here'): handler(elsewhere.project.root, hop=64).predict(song)

def test_the_newer_counts_and_it_is_said(trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path/'root')
    toy_dataset(tmp_path/'song', n_tracks=1, seconds=1, sr=8000, seed=9, fmt='wav')
    song = tmp_path/'song'/'Track00001'/'mix.wav'
    h = handler(tmp_path/'root')
    path, folder, made = h.checkpoint_path, h.model_folder, h.checkpoint_path.with_name('modelCheckpoint_h5')
    h.predict(song)
    assert 'is used' not in capsys.readouterr().out # both hold the same
    write_original(path)
    os.utime(path, (1, 1))
    h.predict(song)
    assert f'{folder} is used: it is newer than {path}' in capsys.readouterr().out and not made.exists()
    os.utime(folder/'model.json', (0, 0))
    h.predict(song)
    assert f'{path} is used: it is newer than {folder}' in capsys.readouterr().out and made.exists()

def test_training_keeps_weights_from_elsewhere(trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path/'root')
    h = handler(tmp_path/'root')
    h.trainModel(epochs=1) # it is done: the file belongs to the folder
    kept = h.checkpoint_path.with_name('modelCheckpoint_1.h5')
    assert not kept.exists()
    write_original(h.checkpoint_path)
    theirs = sha256(h.checkpoint_path)
    h.trainModel(epochs=1)
    assert sha256(kept) == theirs and f'are kept in {kept}' in capsys.readouterr().out
    ours, spec, _ = load_original(h.checkpoint_path)
    assert list(spec.targets) == ['drums', 'accompaniments'] and spec.config.sr == 8000
