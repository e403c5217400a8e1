// Each stem's share of the mixture: see the page "Separation", `ratio_masks`.

export const EXPONENT = 1 // of the ratio mask: 1 compares magnitudes, 2 powers (Wiener)

// Estimated magnitudes, a Float32Array a stem, to shares of the same shape that sum to 1
export function ratio_masks(E, exponent = EXPONENT) {
  const P = E.map(e => exponent === 1 ? e.slice() : e.map(v => v**exponent)), least = 1e-10/E.length
  for (let i = 0; i < P[0].length; i++) {
    let sum = 0
    for (const p of P) sum += p[i] += least
    for (const p of P) p[i] /= sum
  }
  return P
}
