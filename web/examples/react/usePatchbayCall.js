import { useCallback, useEffect, useRef, useState } from "react";
import { Patchbay } from "patchbay";
import { worklets } from "./worklets.js";

/**
 * One call in a component.
 *
 *     const { state, listening, notice, listen, stop, press, release } = usePatchbayCall({ url, token, call });
 *
 * `listen` belongs into a click's handler: browsers play nothing before. `token` may be a function; keep it the same one
 * (useCallback), or the connection is made anew with every render.
 */
export function usePatchbayCall({ url, token, call: id }) {
  const patchbay = useRef(null);
  const call = useRef(null);
  const talk = useRef(null);
  const [view, setView] = useState({ state: "unknown", listening: false, floor: null });
  const [notice, setNotice] = useState(null);
  const [talking, setTalking] = useState(false);

  useEffect(() => {
    const made = new Patchbay({ url, token, worklets });
    const mine = made.call(id);
    patchbay.current = made;
    call.current = mine;
    const show = () => setView({ state: mine.state, listening: mine.listening, floor: mine.floor });
    made.on("notice", setNotice);
    mine.on("change", show);
    show();
    return () => void made.close();
  }, [url, token, id]);

  const listen = useCallback(
    (options) => call.current.listen(options).catch((error) => setNotice(error.notice ?? { words: String(error) })),
    [],
  );
  const stop = useCallback(() => call.current.stop(), []);
  const press = useCallback(() => {
    talk.current = patchbay.current.pushToTalk(call.current.id);
    setTalking(true);
    talk.current.ended.then(() => setTalking(false));
  }, []);
  const release = useCallback(() => void talk.current?.stop(), []);

  return { ...view, talking, notice, listen, stop, press, release, call };
}
