// Forward and inverse STFT of a song, piece by piece: see the page "Separation", `Stream`.
//
// A waveform is an array of channels, each a Float32Array. A spectrogram is the same of frames one after the other, each of
// `n_fft` numbers as `fft.js` packs them.
import { FFT } from './fft.js'
import { round } from './config.js'

// Frame and step at another rate, as near to the model's in seconds as whole samples allow
export function frame_sizes(config, sr) {
  const hop = Math.max(1, round(config.hop_length*sr/config.sr))
  return [Math.max(2, 2*round(hop*config.n_fft/config.hop_length/2)), hop]
}

export class Stream {
  constructor(n_fft, hop_length) {
    Object.assign(this, { n_fft, hop: hop_length, fft: new FFT(n_fft) })
    this.window = Float32Array.from({ length: n_fft }, (_, i) => .5 - .5*Math.cos(2*Math.PI*i/n_fft)) // periodic Hann
    const squared = new Float64Array(hop_length)
    this.window.forEach((v, i) => { squared[i%hop_length] += v*v })
    this.inverse_window = this.window.map((v, i) => v/squared[i%hop_length]/n_fft)
  }

  // Cut a song of `n_samples` into pieces of `n_frames` frames, which see `ahead` more that the next one owns. `read(start, stop)`
  // gives the song's channels, with zeros outside of it. Yields a piece's waveform and the number of its own frames
  async *pieces(read, n_samples, n_frames, ahead = 0) {
    const total = n_samples ? 1 + Math.floor((n_samples + this.n_fft - 1)/this.hop) : 0 // frames that touch the song
    for (let i = 0; i < total; i += n_frames) {
      const m = Math.min(n_frames + ahead, total - i), start = i*this.hop - this.n_fft
      yield [await read(start, start + (m - 1)*this.hop + this.n_fft), Math.min(m, n_frames)]
    }
  }

  // Spectrogram of a piece
  transform(y) {
    const { n_fft, hop, window, fft } = this, m = 1 + Math.floor((y[0].length - n_fft)/hop)
    return y.map(samples => {
      const D = new Float32Array(m*n_fft)
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n_fft; j++) fft.input[j] = samples[i*hop + j]*window[j]
        fft.rfft()
        D.set(fft.output, i*n_fft)
      }
      return D
    })
  }

  // Sound of some frames; its last `n_fft - hop` samples wait for the next piece
  overlap_add(D) {
    const { n_fft, hop, inverse_window, fft } = this
    return D.map(frames => {
      const m = frames.length/n_fft, out = new Float32Array((m - 1)*hop + n_fft)
      for (let i = 0; i < m; i++) {
        fft.input.set(frames.subarray(i*n_fft, (i + 1)*n_fft))
        fft.irfft()
        for (let j = 0; j < n_fft; j++) out[i*hop + j] += fft.output[j]*inverse_window[j]
      }
      return out
    })
  }

  // Put the sound of all pieces, each an array of waveforms, together. Yields blocks; all of them are as long as the song
  async *join(pieces, n_samples) {
    const overlap = this.n_fft - this.hop
    let tail = null, begin = -this.n_fft
    for await (const sounds of pieces) {
      if (tail) sounds.forEach((y, s) => y.forEach((samples, c) => add(samples, tail[s][c])))
      const length = sounds[0][0].length - overlap, from = Math.max(0, -begin), to = Math.max(from, Math.min(length, n_samples - begin))
      tail = sounds.map(y => y.map(samples => samples.slice(length)))
      yield sounds.map(y => y.map(samples => samples.slice(from, to)))
      begin += length
    }
  }

  close() { this.fft.close() }
}

function add(y, other) { for (let i = 0; i < other.length; i++) y[i] += other[i] }
