import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/**
 * Name for what some inputs determine: 20 hex digits of the SHA-256 of their JSON. Same inputs, same name, on
 * every node and in every run, so that nothing is made twice. (Node's crypto is not to be had in a workflow.)
 */
export const contentKey = (inputs: unknown): string =>
  bytesToHex(sha256(utf8ToBytes(JSON.stringify(inputs)))).slice(0, 20);
