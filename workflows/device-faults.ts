/** Error codes of NPU chips and what to do about them: MindCluster's ascend-device-plugin, build/faultCode.json. Data. */
export type DeviceFaultLevel =
  'NotHandle' | 'SubHealth' | 'RestartRequest' | 'RestartBusiness' | 'RestartNPU' | 'SeparateNPU';

const LEVELS: Record<DeviceFaultLevel, string[]> = {
  NotHandle: ['80E18400', '80E18401', '80E01809', '81078603', '80DF8400'],
  SubHealth: ['81078605', '80818C06', '8C2FA001'],
  RestartRequest: ['80C98008', '80C98000', '8107800D', '80BD8000', '80BB800A'],
  RestartBusiness: ['80E01801'],
  RestartNPU: ['80FA4E00', '80C78008', '812E4E00', '40F84E00', '80B98000', '80E18404'],
  SeparateNPU: ['80E18402', '80E0020B', '80818C05'],
};

const MEANINGS: Record<string, string> = {
  '80E01801': 'HBM multi-bit ECC error',
  '80E18402': '64 rows of HBM are isolated',
  '80E0020B': 'HBM is over temperature',
  '81078603': 'the network link is down',
};

export interface DeviceFault {
  code: string;
  /** Nothing for a code that the list does not know. */
  level?: DeviceFaultLevel;
  meaning?: string;
}

export function deviceFault(code: string): DeviceFault {
  const level = (Object.keys(LEVELS) as DeviceFaultLevel[]).find((name) => LEVELS[name].includes(code));
  return { code, ...(level && { level }), ...(MEANINGS[code] && { meaning: MEANINGS[code] }) };
}
