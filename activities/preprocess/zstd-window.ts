/** How much memory Zstandard data ask for, before a decoder that takes all of them at once sees them. */
import { createFrames } from './zstd-frames.js';

/** What the zstd command reads as well, unless told otherwise. */
const MOST_WINDOW = 128 * 2 ** 20;

/**
 * @returns takes the next bytes of a file
 * @throws Error in it, where a frame asks for more than `MOST_WINDOW`
 */
export function windowCheck(): (bytes: Uint8Array) => void {
  const frames = createFrames(MOST_WINDOW);
  return (bytes) => void frames.take(bytes);
}
