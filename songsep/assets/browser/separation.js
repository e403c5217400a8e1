// A song goes through in pieces and comes back as stems: see the page "Separation", `separate_blocks`.
//
// `model` is what `open_model` gives: `config`, `spec`, `stems`, `channels` and `forward`, which takes and gives a Float32Array of
// (bins, frames, channels), or a promise of one. Estimates are a Float32Array a channel, of frames one after the other.
import { Stream, frame_sizes } from './stream.js'
import { EXPONENT, ratio_masks } from './masks.js'

export const FADE = 8 // frames that two tiles share, at most a quarter of them
export const PIECE = 128 // frames in a piece, about: fewer than in Python, so that the first sound comes soon; the stems are the same
const range = (n, step = 1) => Array.from({ length: Math.ceil(n/step) }, (_, i) => i*step)

// A piece of song to its stems: spectrogram, network, masks, sound
export class Tiles {
  constructor(model, sr) {
    const { config: c, spec: { masking = {} } } = model, [n_fft, hop] = frame_sizes(c, sr)
    Object.assign(this, { model, stream: new Stream(n_fft, hop), level: c.n_fft/n_fft, T: c.n_frames, n_bins: c.n_bins })
    this.n_masks = model.stems.length - 1
    this.exponent = masking.exponent ?? EXPONENT
    this.zero = masking.above === 'zero'
    this.fade = masking.fade ?? Math.min(FADE, Math.floor(this.T/4))
    this.step = this.T - this.fade
    this.frames = Math.max(1, Math.floor(PIECE/this.step))*this.step
    this.weight = Float32Array.from({ length: this.T }, (_, t) => Math.min(1, (Math.min(t, this.T - 1 - t) + .5)/Math.max(this.fade, .5)))
  }

  // Waveform of a piece that owns `m` frames, its spectrogram, and the weighted sum of its tiles' estimates
  async analyse(y, m) {
    const D = this.stream.transform(y), starts = range(m, this.step), { n_bins, T, weight } = this
    let out = null
    for (const start of starts) {
      const E = await this.estimate(this.magnitudes(D, start))
      out ||= E.map(e => e.map(() => new Float32Array((starts.length*this.step + this.fade)*n_bins)))
      E.forEach((e, s) => e.forEach((values, c) => {
        const sum = out[s][c].subarray(start*n_bins)
        for (let t = 0; t < T; t++) for (let b = t*n_bins; b < (t + 1)*n_bins; b++) sum[b] += values[b]*weight[t]
      }))
    }
    return [y, D.map(d => d.subarray(0, m*this.stream.n_fft)), out]
  }

  // A tile of a spectrogram, frame by frame: a channel each, or their mean where the network sees one
  magnitudes(D, start) {
    const { n_bins, T, stream: { n_fft }, level } = this
    const X = D.map(d => {
      const x = new Float32Array(T*n_bins), n_frames = Math.min(T, d.length/n_fft - start), k = Math.min(n_bins, n_fft/2)
      for (let t = 0; t < n_frames; t++) {
        const row = d.subarray((start + t)*n_fft, (start + t + 1)*n_fft), at = t*n_bins
        x[at] = Math.abs(row[0])*level
        for (let b = 1; b < k; b++) x[at + b] = Math.sqrt(row[2*b]**2 + row[2*b + 1]**2)*level
        if (n_bins > n_fft/2) x[at + n_fft/2] = Math.abs(row[1])*level
      }
      return x
    })
    return this.model.channels === 1 ? [mean(X)] : X
  }

  // Magnitudes of a tile to estimates (estimates, channels), or one channel for all
  async estimate(X) {
    const k = this.model.channels, { n_bins, T } = this, E = []
    for (let c = 0; c < X.length; c += k) {
      const seen = new Float32Array(n_bins*T*k)
      for (let i = 0; i < k; i++) transpose(X[Math.min(c + i, X.length - 1)], seen, T, n_bins, k, i)
      const answer = await this.model.forward(seen), n_out = answer.length/(n_bins*T)
      for (let s = 0; s < n_out/k; s++) {
        E[s] ||= []
        for (let i = 0; i < k && c + i < X.length; i++) E[s][c + i] = picked(answer, T, n_bins, n_out, s*k + i)
      }
    }
    return this.model.spec.residual ? [...E, X.map((x, c) => rest(x, E.map(e => e[c])))] : E
  }

  // The end of each piece fades into the next, one after the other
  async *crossfade(pieces) {
    const { fade, n_bins, weight } = this, each = (E, fn) => E.forEach((e, s) => e.forEach((values, c) => fn(values, s, c)))
    let fading = null
    for await (const [y, D, E] of pieces) {
      const m = D[0].length/this.stream.n_fft
      if (fading) each(E, (values, s, c) => fading[s][c].forEach((v, i) => { values[i] += v }))
      else each(E, values => { for (let i = 0; i < fade*n_bins; i++) values[i] /= weight[Math.floor(i/n_bins)] }) // nothing fades in
      fading = E.map(e => e.map(values => values.slice(m*n_bins, (m + fade)*n_bins)))
      yield [y, D, E.map(e => e.map(values => values.subarray(0, m*n_bins)))]
    }
  }

  // Sound of all stems but the last, and of the song in its place
  synthesise(y, D, E) {
    const { hop, n_fft } = this.stream, m = D[0].length/n_fft, whole = y.map(() => new Float32Array((m - 1)*hop + n_fft))
    y.forEach((samples, c) => whole[c].set(samples.subarray(0, m*hop)))
    return [...this.masked(D, E).map(o => this.stream.overlap_add(o)), whole]
  }

  // Spectrograms of all stems but the last
  masked(D, E) {
    const { n_bins, stream: { n_fft }, n_masks } = this, k = Math.min(n_bins, 1 + n_fft/2)
    const shares = E[0].map((_, c) => ratio_masks(E.map(e => e[c]), this.exponent))
    const above = k > n_fft/2 || this.zero ? null : E[0].map((_, c) => ratio_masks(E.map(e => this.top(e[c])), this.exponent))
    return range(n_masks).map(s => D.map((d, c) => {
      const share = shares[Math.min(c, shares.length - 1)][s], held = above?.[Math.min(c, shares.length - 1)][s]
      const out = new Float32Array(d.length)
      for (let t = 0; t < d.length/n_fft; t++) {
        const hold = held ? held[t] : 0, row = d.subarray(t*n_fft, (t + 1)*n_fft), to = out.subarray(t*n_fft, (t + 1)*n_fft)
        to[0] = row[0]*share[t*n_bins]
        to[1] = row[1]*(k > n_fft/2 ? share[t*n_bins + n_fft/2] : hold)
        for (let b = 1; b < n_fft/2; b++) {
          const v = b < k ? share[t*n_bins + b] : hold
          to[2*b] = row[2*b]*v
          to[2*b + 1] = row[2*b + 1]*v
        }
      }
      return out
    }))
  }

  // The mean of the model's highest bins in each frame: their shares hold for the band above them
  top(values) {
    const { n_bins } = this, n = Math.max(1, Math.floor(n_bins/8))
    return Float32Array.from({ length: values.length/n_bins }, (_, t) => {
      let sum = 0
      for (let b = (t + 1)*n_bins - n; b < (t + 1)*n_bins; b++) sum += values[b]
      return sum/n
    })
  }
}

function mean(X) {
  if (X.length === 1) return X[0]
  return X[0].map((_, i) => X.reduce((sum, x) => sum + x[i], 0)/X.length)
}

// (frames, bins) into channel `i` of (bins, frames, k)
function transpose(x, out, n_frames, n_bins, k, i) {
  for (let b = 0; b < n_bins; b++) for (let t = 0; t < n_frames; t++) out[(b*n_frames + t)*k + i] = x[t*n_bins + b]
}

// Channel `i` of (bins, frames, n) to (frames, bins), 0 or more
function picked(answer, n_frames, n_bins, n, i) {
  const out = new Float32Array(n_frames*n_bins)
  for (let b = 0; b < n_bins; b++) for (let t = 0; t < n_frames; t++) out[t*n_bins + b] = Math.max(0, answer[(b*n_frames + t)*n + i])
  return out
}

// What a mixture holds besides its estimates
function rest(x, E) { return x.map((v, i) => Math.max(0, E.reduce((left, e) => left - e[i], v))) }

// Separate a song of `n_samples` at `sr` Hz; `read(start, stop)` gives its channels, with zeros outside of it. Yields blocks
// (stems, channels), each a Float32Array, in the order of `model.stems`; together they are as long as the song, and sum to it
export async function* separate_blocks(read, n_samples, sr, model) {
  const tiles = new Tiles(model, sr), { stream } = tiles
  async function* analysed() { for await (const [y, m] of stream.pieces(read, n_samples, tiles.frames, tiles.fade)) yield await tiles.analyse(y, m) }
  async function* sounds() { for await (const o of tiles.crossfade(analysed())) yield tiles.synthesise(...o) }
  try {
    for await (const stems of stream.join(sounds(), n_samples)) {
      const last = stems.at(-1)
      for (const o of stems.slice(0, -1)) o.forEach((samples, c) => { for (let i = 0; i < samples.length; i++) last[c][i] -= samples[i] })
      if (last[0].length) yield stems
    }
  } finally { stream.close() }
}
