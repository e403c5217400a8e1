// What the console shows of a sound that is still being made: see the page "Console", `_magnitudes`, `_wave` and `_png`.
import { FFT } from './fft.js'

export const COLUMNS = 800, ROWS = 72, RANGE_DB = 65
const N_FFT = 2048

export class Picture {
  constructor(n_samples, sr) {
    Object.assign(this, { n_samples, fft: new FFT(N_FFT), done: 0, next: 0, held: new Float32Array(0) })
    this.hop = Math.min(1024, Math.max(64, Math.floor(n_samples/COLUMNS)))
    this.window = Float32Array.from({ length: N_FFT }, (_, i) => .5 - .5*Math.cos(2*Math.PI*i/N_FFT))
    this.edges = Array.from({ length: ROWS + 1 }, (_, i) => Math.floor(40*(sr/2/40)**(i/ROWS)*N_FFT/sr))
  }

  column(sample) { return Math.min(COLUMNS - 1, Math.floor(sample*COLUMNS/this.n_samples)) }

  // The next samples of all channels. Gives the columns that changed, from the first on: the outline's highest and lowest value
  // of each, and the loudest magnitude of each row
  add(y) {
    const n = y[0].length, mono = mean(y)
    if (!n) return null
    const first = this.column(Math.max(0, this.next*this.hop)), count = this.column(this.done + n - 1) - first + 1
    const high = new Float32Array(count), low = new Float32Array(count), S = new Float32Array(count*ROWS)
    mono.forEach((v, i) => {
      const c = this.column(this.done + i) - first
      if (c < 0) return
      high[c] = Math.max(high[c], v)
      low[c] = Math.min(low[c], v)
    })
    this.held = joined(this.held, mono)
    this.done += n
    const start = this.done - this.held.length, last = this.done >= this.n_samples
    for (; this.next*this.hop + N_FFT/2 <= this.done || last && this.next*this.hop < this.n_samples; this.next++) {
      const row = this.spectrum(this.next*this.hop - N_FFT/2 - start), at = (this.column(this.next*this.hop) - first)*ROWS
      if (at >= 0) row.forEach((v, r) => { S[at + r] = Math.max(S[at + r], v) })
    }
    this.held = this.held.slice(Math.max(0, this.next*this.hop - N_FFT/2 - start))
    return { first, high, low, S }
  }

  // The loudest magnitude of each row, of the frame that begins at a place of what is held
  spectrum(at) {
    const { fft, window, held, edges } = this
    for (let i = 0; i < N_FFT; i++) fft.input[i] = at + i >= 0 && at + i < held.length ? held[at + i]*window[i] : 0
    fft.rfft()
    return Float32Array.from({ length: ROWS }, (_, r) => {
      let most = 0
      for (let b = Math.max(1, edges[r]); b < Math.max(edges[r] + 1, Math.min(edges[r + 1], N_FFT/2)); b++) {
        most = Math.max(most, fft.output[2*b]**2 + fft.output[2*b + 1]**2)
      }
      return Math.sqrt(most)
    })
  }

  close() { this.fft.close() }
}

function mean(y) {
  const out = new Float32Array(y[0].length)
  for (const samples of y) for (let i = 0; i < out.length; i++) out[i] += samples[i]/y.length
  return out
}

function joined(a, b) {
  const out = new Float32Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}

// All columns of one sound, as they come
export class Columns {
  constructor() { Object.assign(this, { high: new Float32Array(COLUMNS), low: new Float32Array(COLUMNS), S: new Float32Array(COLUMNS*ROWS), n: 0 }) }

  add({ first, high, low, S }) {
    high.forEach((v, i) => { this.high[first + i] = Math.max(this.high[first + i], v) })
    low.forEach((v, i) => { this.low[first + i] = Math.min(this.low[first + i], v) })
    S.forEach((v, i) => { this.S[first*ROWS + i] = Math.max(this.S[first*ROWS + i], v) })
    this.n = first + high.length
  }

  get top() { return Math.max(...this.high, ...this.low.map(v => -v)) }
  get loudest() { return this.S.reduce((a, b) => Math.max(a, b), 0) }

  // The outline of the waveform, in a box 800 wide and 200 high
  outline(top) {
    if (!this.n) return ''
    const y = v => Math.round(100 - 96*v/Math.max(top, 1e-6)), points = []
    for (let i = 0; i < this.n; i++) points.push(`${i} ${Math.min(99, y(this.high[i]))}`)
    for (let i = this.n - 1; i >= 0; i--) points.push(`${i} ${Math.max(101, y(this.low[i]))}`)
    return `M${points.join('L')}Z`
  }

  // Opacity by loudness, as the bytes of a picture COLUMNS wide and ROWS high
  pixels(loudest) {
    const out = new Uint8ClampedArray(4*COLUMNS*ROWS).fill(255)
    for (let c = 0; c < COLUMNS; c++) for (let r = 0; r < ROWS; r++) {
      const db = 20*Math.log10(Math.max(this.S[c*ROWS + r], 1e-12)/Math.max(loudest, 1e-12))
      out[4*((ROWS - 1 - r)*COLUMNS + c) + 3] = 17*Math.round(15*Math.max(0, 1 + db/RANGE_DB)**1.5)
    }
    return out
  }
}
