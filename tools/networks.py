"""The TFC-TDF U-Net of songsep in PyTorch, and its weights on the way between the two."""
from collections import deque

BINS, FRAMES = 1024, 128

def torch_net(filters, levels, n_targets, output, narrow=8, fold=2):
    "What `tfc_tdf_unet` is: (batch, bins, frames) to masks (batch, targets, bins, frames)"
    import torch
    from torch import nn
    class Normed(nn.Module):
        def __init__(self, layer, norm):
            super().__init__()
            self.layer, self.norm = layer, norm
        def forward(self, x): return torch.relu(self.norm(self.layer(x)))
    def conv(n_in, n_out, size, kind=nn.Conv2d, **kw):
        return Normed(kind(n_in, n_out, size, bias=False, **kw), nn.BatchNorm2d(n_out, 1e-3, .01))
    def dense(n, n_in, n_out): return Normed(nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n, 1e-3, .01))
    class Block(nn.Module):
        def __init__(self, n, bins):
            super().__init__()
            small = max(1, bins//narrow)
            self.conv, self.tdf = conv(n, n, 3, padding=1), nn.Sequential(dense(n, bins, small), dense(n, small, bins))
        def forward(self, x):
            x = self.conv(x)
            b, c, h, w = x.shape
            y = self.tdf(x.permute(0, 3, 1, 2).reshape(b*w, c, h)) # along frequency
            return x + y.reshape(b, w, c, h).permute(0, 2, 3, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            block = lambda i: Block(filters*(i+1), BINS//fold >> i)
            down = lambda i: conv(filters*(i+1), filters*(i+2), 2, stride=2)
            up = lambda i: conv(filters*(i+2), filters*(i+1), 2, nn.ConvTranspose2d, stride=2)
            self.first = conv(1, filters, fold, stride=fold)
            self.down = nn.ModuleList(o(i) for i in range(levels) for o in (block, down))
            self.bottom = block(levels)
            self.up = nn.ModuleList(o(i) for i in reversed(range(levels)) for o in (up, block))
            self.last = nn.ConvTranspose2d(filters, n_targets, fold, fold)
        def forward(self, S):
            x, skips = self.first((S[:, None] + 1e-12)**.3), [] # the root has no slope at 0
            for block,down in zip(self.down[::2], self.down[1::2]):
                skips.append(block(x))
                x = down(skips[-1])
            x = self.bottom(x)
            for up,block in zip(self.up[::2], self.up[1::2]): x = block(up(x)*skips.pop())
            z = self.last(x).float()
            return z.softmax(1) if output == 'shares' else z.sigmoid()
    return Net()

def torch_weights(net):
    "Its numbers in the order of the layers: kernel, gain, offset, mean and variance of each; kernel and bias of the last"
    from torch import nn
    for m in net.modules():
        if hasattr(m, 'norm'): yield from (m.layer.weight, m.norm.weight, m.norm.bias, m.norm.running_mean, m.norm.running_var)
        elif m is net.last: yield from (m.weight, m.bias)

TURNED = (2, 3, 1, 0) # a kernel of PyTorch as Keras has it

def keras_layers(model):
    "Layers with weights, by kind, in the order in which they were made"
    number = lambda o: int(n) if (n := o.name.split('_')[-1]).isdigit() else 0
    kinds = {}
    for o in model.layers: kinds.setdefault(type(o).__name__, []).append(o)
    return {k: deque(sorted(v, key=number)) for k,v in kinds.items()}

def order(levels):
    "Kinds of the layers that a norm follows, in the order of the network"
    block = ['Conv2D', 'Dense', 'Dense']
    return ['Conv2D'] + [*block, 'Conv2D']*levels + block + ['Conv2DTranspose', *block]*levels

def set_weights(model, numbers, levels):
    "Put numbers in the order of `torch_weights` into a Keras model"
    layers, numbers = keras_layers(model), deque(numbers)
    turned = lambda kernel: kernel.T if kernel.ndim == 2 else kernel.transpose(TURNED)
    take = lambda n: [numbers.popleft() for _ in range(n)]
    for kind in order(levels):
        layers[kind].popleft().set_weights([turned(numbers.popleft())])
        layers['BatchNormalization'].popleft().set_weights(take(4))
    kernel, bias = take(2)
    layers['Conv2DTranspose'].popleft().set_weights([turned(kernel), bias])
    assert not numbers

def keras_numbers(model, levels):
    "The numbers of a Keras model, in the order of `torch_weights`"
    layers = keras_layers(model)
    back = lambda kernel: kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)
    for kind in order(levels):
        yield back(layers[kind].popleft().get_weights()[0])
        yield from layers['BatchNormalization'].popleft().get_weights()
    kernel, bias = layers['Conv2DTranspose'].popleft().get_weights()
    yield from (back(kernel), bias)

def keras_model(folder, name, numbers, network, steps, batch):
    "A model folder of songsep; the rest is as in the model of that name that ships, or in `band`"
    from dataclasses import replace
    from songsep.folder import ModelSpec, read_spec, save_model
    from songsep.models import find_model
    from songsep.recipes import load_recipe
    from songsep.unet import tfc_tdf_unet
    recipe, about = load_recipe(name), read_spec(find_model('band'))
    arguments = {k: network[k] for k in ('filters', 'levels', 'output')}
    model = tfc_tdf_unet(BINS, FRAMES, len(recipe.targets), **arguments)
    set_weights(model, numbers, network['levels'])
    training = dict(steps=steps, batch_size=batch, loss='snr', learning_rate=network['learning_rate'])
    folder.mkdir(parents=True)
    save_model(folder, model, replace(about, name=name, targets=recipe.targets, recipe=recipe.to_dict(), arguments=arguments,
                                      training=training, training_songs=None, parent=None, onnx_crc32=None))
