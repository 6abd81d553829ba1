// Latents of seeds as NumPy draws them, files of directions, and arithmetic on latents.

/** `numpy.random.RandomState(seed).randn(count)`: Mersenne Twister, polar method. */
export function latents(seed, count) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }
  let place = 624;
  function word() {
    if (place === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      place = 0;
    }
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }
  // -1 to 1, of 53 bits.
  const uniform = () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 2 ** 52 - 1;
  const drawn = [];
  while (drawn.length < count) {
    const a = uniform(), b = uniform(), square = a * a + b * b;
    if (square >= 1 || square === 0) continue;
    const scale = Math.sqrt((-2 * Math.log(square)) / square);
    drawn.push(scale * b, scale * a);
  }
  return Float32Array.from(drawn.slice(0, count));
}

/** Directions of a `.safetensors` of stylegan_jax: `{name, space, step, rows}` each.
 *
 * `step` is a standard deviation where it is known, else 1; `rows(layer)` the vector of
 * a layer, null where it does not act.
 */
export function readDirections(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const described = JSON.parse(header.__metadata__.stylegan_jax).directions;
  return described.map(({name, space, std, layers}) => {
    const {shape, data_offsets: [start, end]} = header[name];
    const numbers = new Float64Array(buffer.slice(8 + size + start, 8 + size + end));
    const width = shape.at(-1);
    const rows = (layer) => {
      if (layers && !layers.includes(layer)) return null;
      const first = shape.length > 1 ? layer * width : 0;
      return numbers.subarray(first, first + width);
    };
    return {name, space, step: std ?? 1, rows};
  });
}

/** Adds `amount * vector` to `array` from place `start` on; null is no vector. */
export function add(array, start, vector, amount) {
  vector?.forEach((x, i) => { array[start + i] += amount * x; });
}
