// token.js; "/my/hub-token" is a route of your own back end
export const getToken = async () => {
  const response = await fetch("/my/hub-token");
  if (response.status === 401) return ""; // nobody is signed in
  if (!response.ok) throw new Error(`No token: ${response.status}`); // the element tries again
  return response.text();
};
