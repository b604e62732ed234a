/** Error codes of NPU chips and what to do about them: MindCluster's ascend-device-plugin, build/faultCode.json. Data. */
import { DEVICE_FAULT_CODES } from './device-fault-list.js';

export type DeviceFaultLevel = keyof typeof DEVICE_FAULT_CODES;

const LEVELS = new Map(
  (Object.keys(DEVICE_FAULT_CODES) as DeviceFaultLevel[]).flatMap((level) =>
    DEVICE_FAULT_CODES[level]
      .trim()
      .split(/\s+/)
      .map((code): [string, DeviceFaultLevel] => [code, level]),
  ),
);

const MEANINGS: Record<string, string> = {
  '80E01801': 'HBM multi-bit ECC error',
  '80E18402': '64 rows of HBM are isolated',
  '80E0020B': 'HBM is over temperature',
  '81078603': 'the network link is down',
  '81B18603': 'a port of the bus between devices is down',
};

export interface DeviceFault {
  code: string;
  /** Nothing for a code that the list does not know. */
  level?: DeviceFaultLevel;
  meaning?: string;
}

export function deviceFault(code: string): DeviceFault {
  const level = LEVELS.get(code);
  return { code, ...(level && { level }), ...(MEANINGS[code] && { meaning: MEANINGS[code] }) };
}
