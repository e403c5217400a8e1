// The page's modules in Node, on what Python wrote: `node browser.mjs PAGE FOLDER`. Answers go into the same folder.
import { readFileSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [page, folder] = process.argv.slice(2), module = name => import(pathToFileURL(`${page}/${name}`))
const { config_from } = await module('config.js'), { load_fft, is_fft_size } = await module('fft.js')
const { Stream, frame_sizes } = await module('stream.js'), { ratio_masks } = await module('masks.js')
const { faster, stems_of } = await module('engines.js'), { separate_blocks } = await module('separation.js')
const { finish, wav_file, zip_file } = await module('audio.js'), { read_samples } = await module('decode.js')
const { Columns, Picture } = await module('pictures.js')

const floats = name => { const o = readFileSync(`${folder}/${name}.f32`); return new Float32Array(o.buffer, o.byteOffset, o.length/4) }
const keep = (name, ...arrays) => writeFileSync(`${folder}/${name}.f32`, Buffer.concat(arrays.map(o => Buffer.from(o.buffer, o.byteOffset, o.byteLength))))
const channels = (y, n) => Array.from({ length: n }, (_, c) => y.subarray(c*y.length/n, (c + 1)*y.length/n))

await load_fft()
const tasks = JSON.parse(readFileSync(`${folder}/tasks.json`))
const y = channels(floats('y'), 2), n = y[0].length

// A network that needs no learning: each estimate is the magnitude by a gain of its own that moves over bins and frames
function toy(spec) {
  const config = config_from(spec.config), channels = spec.channels ?? 1, S = spec.targets.length
  const forward = X => {
    const out = new Float32Array(X.length*S)
    for (let i = 0; i < X.length; i++) for (let s = 0; s < S; s++) {
      const c = i%channels, t = Math.floor(i/channels)%config.n_frames, b = Math.floor(i/channels/config.n_frames)
      out[(i - c)*S + s*channels + c] = X[i]*Math.sin(s + 1 + .01*b + .1*t + c)
    }
    return out
  }
  return { spec, config, channels, stems: stems_of(spec), forward }
}

const said = { sizes: tasks.configs.map(config_from), frame_sizes: tasks.frame_sizes.map(([c, sr]) => frame_sizes(config_from(c), sr)), fft_sizes: tasks.fft_sizes.map(is_fft_size) }

const stream = new Stream(512, 128), D = stream.transform([y[0]])[0]
keep('transform', D)
keep('overlap_add', stream.overlap_add([D])[0])
keep('masks', ...ratio_masks(channels(floats('E'), 3)), ...ratio_masks(channels(floats('E'), 3), 2))

for (const [i, { spec, sr, n_channels }] of tasks.songs.entries()) {
  const song = Array.from({ length: n_channels }, (_, c) => y[c%2].map(v => c < 2 ? v : v*.5)), model = toy(spec), stems = []
  const read = async (start, stop) => read_samples(song, start, stop)
  for await (const block of separate_blocks(read, n, sr, model)) block.forEach((o, s) => o.forEach((samples, c) => ((stems[s] ||= [])[c] ||= []).push(samples)))
  keep(`song${i}`, ...stems.flat().flat())
}

const stems = [y.map(o => o.map(v => v*.7)), y.map(o => o.map(v => v*.3))]
for (const subtype of ['PCM_16', 'PCM_24', 'FLOAT']) {
  for (const s of [0, 1]) writeFileSync(`${folder}/${s}-${subtype}.wav`, Buffer.from(await (await wav_file(stems, y, s, 16000, subtype)).arrayBuffer()))
}
writeFileSync(`${folder}/all.zip`, Buffer.from(await (await zip_file(['a b/0.wav', 'a b/1.wav'], stems, y, 16000, 'PCM_16')).arrayBuffer()))

const picture = new Picture(n, 16000), columns = new Columns()
for (let i = 0; i < n; i += 5000) columns.add(picture.add(y.map(o => o.subarray(i, i + 5000))))
keep('outline', columns.high, columns.low)
keep('picture', columns.S)
said.outline = columns.outline(columns.top).length

// The graphics card against the processor; each model moves a clock on by as much as it takes
let clock = 0
const machine = (name, ms, gain) => ({ name, config: config_from(tasks.configs[2]), channels: 1, forward: async X => {
  clock += ms
  if (gain === null) throw new Error('the card is gone')
  return X.map(v => v*gain)
} })
const choose = async (ms, gain) => (await faster(machine('card', ms, gain), machine('processor', 10, .5), () => clock)).chosen.name
said.chosen = [await choose(3, .5), await choose(30, .5), await choose(3, .501), await choose(3, NaN), await choose(3, null)]

writeFileSync(`${folder}/said.json`, JSON.stringify(said))
