// A trained model, ready to run in the browser: see the page "Models", `open_model`. The graph is the `model.onnx` that Python runs.
import { config_from } from './config.js'

export const TOLERANCE = 1e-4 // of full scale: how far a graphics card may differ

// Bytes of a file, unpacked if it is a gzip file; a server may have unpacked it already
export async function fetch_bytes(url, progress = () => {}) {
  let answer
  try { answer = await fetch(url) } catch { throw new Error(`${url} can't be fetched. Is the network there?`) }
  if (!answer.ok) throw new Error(`${url} can't be fetched (${answer.status} ${answer.statusText}).`)
  const counted = new TransformStream({ transform(part, to) { progress(part.length); to.enqueue(part) } })
  const bytes = new Uint8Array(await new Response(answer.body.pipeThrough(counted)).arrayBuffer())
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer())
}

// Targets, and `residuals` where they leave something over
export function stems_of(spec) {
  return [...spec.targets, ...(spec.residual || spec.masking?.above === 'zero' ? ['residuals'] : [])]
}

// `spec` is what model.json says, `graph` the bytes of model.onnx, `ort` ONNX Runtime; `device` is `wasm` or `webgpu`; `data` are the
// bytes of model.onnx.data, where the graph is large
export async function open_model(spec, graph, ort, device = 'wasm', data = null) {
  const config = config_from(spec.config), channels = spec.channels ?? 1
  const externalData = data ? [{ path: 'model.onnx.data', data }] : []
  const session = await ort.InferenceSession.create(graph, { executionProviders: [device], logSeverityLevel: 3, externalData })
  const shape = [1, config.n_bins, config.n_frames, channels]
  async function forward(X) {
    const answer = (await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', X, shape) }))[session.outputNames[0]]
    return answer.getData()
  }
  return { spec, config, channels, stems: stems_of(spec), device, forward, close: () => session.release() }
}

// Magnitudes of white noise at about -20 dB full scale, the same each time
export function example_input({ config: { n_bins, n_frames, n_fft }, channels }) {
  let seed = 1
  const random = () => (seed = seed*48271%2147483647)/2147483647 // Lehmer's generator
  return Float32Array.from({ length: n_bins*n_frames*channels }, () => .1*Math.sqrt(-2*Math.log(random())*n_fft))
}

// Largest difference between two answers, as a share of the largest value
export function difference(a, b) {
  let most = 0, top = 0
  for (let i = 0; i < b.length; i++) { most = Math.max(most, Math.abs(a[i] - b[i])); top = Math.max(top, Math.abs(b[i])) }
  return a.length === b.length && a.every(Number.isFinite) ? most/top : Infinity
}

// The graphics card's model if it says the same as the processor's, and says it sooner; else the processor's
export async function faster(card, processor, now = () => performance.now()) {
  const X = example_input(processor)
  const timed = async model => {
    await model.forward(X) // the first time, programs are made
    const start = now(), answer = await model.forward(X)
    return { answer, ms: now() - start }
  }
  try {
    const ours = await timed(processor), theirs = await timed(card), error = difference(theirs.answer, ours.answer)
    const chosen = error <= TOLERANCE && theirs.ms < ours.ms ? card : processor
    return { chosen, error, card_ms: theirs.ms, processor_ms: ours.ms }
  } catch (e) { return { chosen: processor, error: Infinity, why: String(e.message ?? e) } }
}
