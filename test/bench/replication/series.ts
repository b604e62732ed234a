/** Of the one run that the bench makes. */
export const SERIES = 'bench';
