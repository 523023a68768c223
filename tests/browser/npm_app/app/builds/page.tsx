export default function Builds() {
  return <h1>The builds</h1>;
}
