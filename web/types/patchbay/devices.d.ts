/** The machine's speakers and microphones. */
/**
 * @typedef {object} Device
 * @property {string} id "" for the system's default
 * @property {string} name
 */
/**
 * Without a microphone having been allowed, browsers give no names, and some no list.
 * @returns {Promise<{speakers: Device[], microphones: Device[]}>}
 */
export function listDevices(): Promise<{
    speakers: Device[];
    microphones: Device[];
}>;
export type Device = {
    /**
     * "" for the system's default
     */
    id: string;
    name: string;
};
