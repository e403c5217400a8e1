// Real Fourier transforms by PFFFT (Pommier), whose spectra are packed: the values of bin 0 and of the last bin, which are real,
// then real and imaginary part of each bin between them. `n` samples are `n` numbers again.
import PFFFT from './vendor/pffft.js'

const FORWARD = 0, BACKWARD = 1
let pffft = null

// The library, once; `files` may bring its program along
export async function load_fft(files = {}) { pffft ||= await PFFFT(files) }

// PFFFT takes multiples of 32 without other prime factors than 2, 3 and 5
export function is_fft_size(n) {
  if (n < 32 || n%32) return false
  for (const p of [2, 3, 5]) while (n%p === 0) n /= p
  return n === 1
}

export class FFT {
  constructor(n) {
    if (!pffft) throw new Error('call `load_fft` first')
    if (!is_fft_size(n)) throw new Error(`frames of ${n} samples can't be transformed: a multiple of 32 of the factors 2, 3 and 5 is needed`)
    const room = () => pffft._pffft_aligned_malloc(4*n)
    Object.assign(this, { n, setup: pffft._pffft_new_setup(n, 0), places: [room(), room(), room()] })
    const [input, output] = this.places.map(o => pffft.HEAPF32.subarray(o/4, o/4 + n))
    Object.assign(this, { input, output })
  }

  run(direction) { pffft._pffft_transform_ordered(this.setup, ...this.places, direction) }

  // `input` to the packed spectrum `output`
  rfft() { this.run(FORWARD) }

  // The packed spectrum `input` to the waveform `output`, which comes `n` times too large
  irfft() { this.run(BACKWARD) }

  close() {
    for (const o of this.places) pffft._pffft_aligned_free(o)
    pffft._pffft_destroy_setup(this.setup)
  }
}
