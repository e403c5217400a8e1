// Separates beside the page, so that the page stays alive. It asks the page for the song piece by piece, because nothing can be
// shared without cross-origin isolation, and a copy of the whole song would take its memory twice.
import { load_fft } from './fft.js'
import { faster, fetch_bytes, open_model } from './engines.js'
import { Picture } from './pictures.js'
import { separate_blocks } from './separation.js'

const RUNTIMES = { wasm: ['./vendor/ort.wasm.js', 'vendor/ort.wasm.gz'], webgpu: ['./vendor/ort.webgpu.js', 'vendor/ort.webgpu.gz'] }
let model = null

// ONNX Runtime for the web, in one thread: more would need a page that is isolated
async function runtime(kind, progress) {
  const [program, binary] = RUNTIMES[kind], ort = await import(program)
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: (await fetch_bytes(binary, progress)).buffer })
  ort.env.logLevel = 'error'
  return ort
}

// A graphics card that is one: a browser may offer a program in its place, which is slow
async function has_card() {
  const adapter = await self.navigator.gpu?.requestAdapter().catch(() => null)
  return !!adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter)
}

// `files` are those of the model's `folder`; `device` is what was found faster before, or `null`
async function open({ folder, files, device }) {
  let loaded = 0
  const kind = device !== 'wasm' && await has_card() ? 'webgpu' : 'wasm', progress = n => postMessage({ loaded: loaded += n, kind })
  const get = name => files.includes(name) ? fetch_bytes(`${folder}/${name}`, progress) : null
  const parts = [get('model.json'), get('model.onnx'), get('model.onnx.data'), runtime(kind, progress)]
  const [text, graph, data, ort] = await Promise.all([...parts, load_fft()]), spec = JSON.parse(new TextDecoder().decode(text))
  const on = device => open_model(spec, graph, ort, device, data), card = kind === 'webgpu' ? await on('webgpu').catch(() => null) : null
  if (card && device === 'webgpu') return { model: card }
  const processor = await on('wasm')
  if (!card) return { model: processor, verdict: kind === 'webgpu' ? { error: Infinity } : null }
  const { chosen, ...verdict } = await faster(card, processor)
  await (chosen === card ? processor : card).close()
  return { model: chosen, verdict }
}

const answers = []
function read(start, stop) {
  postMessage({ read: [start, stop] })
  return new Promise(done => answers.push(done))
}

// The song, which is the sum of its stems
function total(stems) {
  return stems[0].map((first, c) => {
    const out = first.slice()
    for (const y of stems.slice(1)) for (let i = 0; i < out.length; i++) out[i] += y[c][i]
    return out
  })
}

async function separate({ n_samples, sr }) {
  const pictures = [null, ...model.stems].map(() => new Picture(n_samples, sr)) // of the song, then of the stems
  let done = 0
  for await (const stems of separate_blocks(read, n_samples, sr, model)) {
    const columns = [total(stems), ...stems].map((y, i) => pictures[i].add(y)), start = done
    done += stems[0][0].length
    postMessage({ start, done, stems, columns }, stems.flat().map(o => o.buffer))
  }
  for (const o of pictures) o.close()
  postMessage({ finished: true })
}

onmessage = async ({ data }) => {
  try {
    if (data.samples) return answers.shift()(data.samples)
    if (data.open) {
      const opened = await open(data.open)
      model = opened.model
      postMessage({ opened: { stems: model.stems, device: model.device, verdict: opened.verdict } })
    }
    if (data.separate) await separate(data.separate)
  } catch (e) { postMessage({ error: String(e?.message ?? e) }) }
}
